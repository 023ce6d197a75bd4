//! The seed: a small FAT volume with up to three files, built in memory.
//!
//! ```text
//!   NoCloud, cidata:        user-data                     meta-data                          network-config
//!   ConfigDrive, config-2:  openstack/latest/user_data    openstack/latest/meta_data.json    openstack/latest/network_data.json
//! ```

use std::io::{self, Cursor, Write};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

use crate::{Seed, SeedForm};

/// Where a `ConfigDrive` has its files.
const CONFIG_DRIVE: [&str; 2] = ["openstack", "latest"];
/// The largest file of a seed, in bytes.
const FILE_LIMIT: usize = 1 << 20;

/// The volume's bytes.
pub(crate) fn volume(seed: &Seed) -> io::Result<Vec<u8>> {
    let (label, folder, names) = match seed.form {
        SeedForm::NoCloud => (b"cidata     ", None, ["user-data", "meta-data", "network-config"]),
        SeedForm::ConfigDrive => {
            (b"config-2   ", Some(CONFIG_DRIVE), ["user_data", "meta_data.json", "network_data.json"])
        }
    };
    let texts = [&seed.user_data, &seed.meta_data, &seed.network_config];
    let mut files: Vec<_> = names.into_iter().zip(texts).collect();
    if seed.form == SeedForm::ConfigDrive {
        files.retain(|(_, text)| !text.is_empty());
    }
    if let Some((name, _)) = files.iter().find(|(_, text)| text.len() > FILE_LIMIT) {
        return Err(io::Error::other(format!("the seed's {name} is larger than {FILE_LIMIT} bytes")));
    }
    let content: usize = files.iter().map(|(_, text)| text.len().next_multiple_of(4096)).sum();
    let size = (content + (256 << 10)).next_multiple_of(64 << 10);
    let mut volume = Cursor::new(vec![0; size]);
    let options = FormatVolumeOptions::new().fat_type(FatType::Fat12).bytes_per_cluster(4096);
    fatfs::format_volume(&mut volume, options.volume_label(*label))?;
    {
        let file_system = FileSystem::new(&mut volume, FsOptions::new())?;
        let mut directory = file_system.root_dir();
        for part in folder.into_iter().flatten() {
            directory = directory.create_dir(part)?;
        }
        for (name, text) in files {
            let mut file = directory.create_file(name)?;
            file.truncate()?;
            file.write_all(text.as_bytes())?;
            file.flush()?;
        }
        drop(directory);
        file_system.unmount()?;
    }
    Ok(volume.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_volume_holds_what_was_given() {
        let seed = Seed {
            form: SeedForm::NoCloud,
            user_data: "#cloud-config\n".repeat(5000),
            meta_data: "instance-id: a\n".into(),
            network_config: String::new(),
        };
        let bytes = volume(&seed).unwrap();
        let file_system = FileSystem::new(Cursor::new(bytes), FsOptions::new()).unwrap();
        assert_eq!(file_system.volume_label(), "cidata");
        for (name, text) in [
            ("user-data", &seed.user_data),
            ("meta-data", &seed.meta_data),
            ("network-config", &seed.network_config),
        ] {
            let mut read = String::new();
            file_system.root_dir().open_file(name).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(&read, text);
        }
    }

    #[test]
    fn a_config_drive_has_what_is_not_empty() {
        let seed = Seed {
            form: SeedForm::ConfigDrive,
            user_data: String::new(),
            meta_data: "{}".into(),
            network_config: String::new(),
        };
        let file_system = FileSystem::new(Cursor::new(volume(&seed).unwrap()), FsOptions::new()).unwrap();
        assert_eq!(file_system.volume_label(), "config-2");
        let folder = file_system.root_dir().open_dir("openstack/latest").unwrap();
        let names: Vec<String> = folder.iter().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [".", "..", "meta_data.json"]);
    }

    #[test]
    fn a_monstrous_seed_is_refused() {
        let seed = Seed {
            form: SeedForm::NoCloud,
            user_data: "x".repeat(FILE_LIMIT + 1),
            meta_data: String::new(),
            network_config: String::new(),
        };
        assert!(volume(&seed).unwrap_err().to_string().contains("user-data is larger"));
    }
}
