//! Facts in an image's labels: `io.infranetes.<fact>`, each in the spelling of the configuration.
//!
//! A label comes from whoever made the image, so it says what the guest is and nothing about the node: no file on the
//! node, and no trust that only the operator may give. A label that is not understood is an error, for it would
//! otherwise be a wish that nobody hears.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::{Credential, Error, Facts, Os, Result, Transport};

/// What the names of our labels begin with.
pub const LABEL_PREFIX: &str = "io.infranetes.";

/// The longest value in bytes.
const LONGEST: usize = 16 << 10;

impl Facts {
    /// Reads the labels that begin with [`LABEL_PREFIX`]; others are no business of ours.
    ///
    /// `host-keys` has a key or fingerprint a line, `certificates` a fingerprint; `legacy-algorithms` is separated by commas or spaces; `password`
    /// is the well-known password of a published image.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Result<Self> {
        let mut facts = Self::default();
        for (label, value) in labels {
            if let Some(fact) = label.strip_prefix(LABEL_PREFIX) {
                facts.set(fact, value.trim()).map_err(|why| {
                    Error::Refused(format!(
                        "the image's label {label} cannot be used: {why}; correct the label"
                    ))
                })?;
            }
        }
        Ok(facts)
    }

    fn set(&mut self, fact: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Err("it is empty".to_owned());
        }
        if value.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        match fact {
            "user" => self.user = Some(user(value)?),
            "password" => self.credential = Some(Credential::Password(value.to_owned())),
            "host-keys" => {
                let lines = value.lines().map(str::trim).filter(|line| !line.is_empty());
                self.host_keys = lines.map(str::to_owned).collect();
            }
            "os" => self.os = Some(os(value)?),
            "certificates" => {
                let lines = value.lines().map(str::trim).filter(|line| !line.is_empty());
                self.certificates = lines.map(str::to_owned).collect();
            }
            "transport" => self.transport = Some(transport(value)?),
            "scheme" => self.scheme = Some(one_of(value, &["https", "http"])?),
            "authentication" => {
                self.authentication = Some(one_of(value, &["negotiate", "ntlm", "basic"])?);
            }
            "port" => self.port = Some(number(value, 1, u16::MAX)?),
            "legacy-algorithms" => {
                let names = value.split([',', ' ', '\n']).filter(|name| !name.is_empty());
                self.legacy_algorithms = names.map(str::to_owned).collect();
            }
            "cloud-init" => self.cloud_init = Some(one_of(value, &["true", "false"])? == "true"),
            "config-drive" => self.config_drive = Some(one_of(value, &["true", "false"])? == "true"),
            "firmware" => self.firmware = Some(one_of(value, &["bios", "uefi", "uefi-secure"])?),
            "clock" => self.clock = Some(one_of(value, &["utc", "local"])?),
            "hyper-v" => self.hyper_v = Some(one_of(value, &["true", "false"])? == "true"),
            "tpm" => self.tpm = Some(one_of(value, &["none", "2.0"])?),
            "disk-bus" => self.disk_bus = Some(one_of(value, &["virtio", "scsi", "sata", "ide"])?),
            "nic" => self.nic = Some(word(value)?),
            "log" => self.log = Some(log(value)?),
            "cpus" => self.cpus = Some(number(value, 1, 1024)?),
            "memory-mib" => self.memory_mib = Some(number(value, 1, 1 << 24)?),
            "disk-gib" => self.disk_gib = Some(number(value, 1, 1 << 20)?),
            "boot-deadline-seconds" => self.boot_deadline_seconds = Some(number(value, 1, 24 * 60 * 60)?),
            "trust-on-first-use" | "certificate-name" | "host-name" => {
                return Err("only the node's configuration may say whom to trust".to_owned());
            }
            "credential" | "key-file" | "password-file" | "certificate-authority" => {
                return Err("files of the node are named in its configuration alone".to_owned());
            }
            _ => return Err("there is no such fact".to_owned()),
        }
        Ok(())
    }

    /// These facts where they are known, else those of `base`, fact by fact. A list that is not empty replaces the
    /// other whole.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        let Self {
            user,
            credential,
            host_keys,
            certificates,
            certificate_authority,
            certificate_name,
            host_name,
            trust_on_first_use,
            os,
            transport,
            scheme,
            authentication,
            port,
            legacy_algorithms,
            cloud_init,
            config_drive,
            firmware,
            clock,
            hyper_v,
            tpm,
            disk_bus,
            nic,
            log,
            cpus,
            memory_mib,
            disk_gib,
            boot_deadline_seconds,
        } = self;
        Self {
            user: user.or(base.user),
            credential: credential.or(base.credential),
            host_keys: unless_empty(host_keys, base.host_keys),
            certificates: unless_empty(certificates, base.certificates),
            certificate_authority: certificate_authority.or(base.certificate_authority),
            certificate_name: certificate_name.or(base.certificate_name),
            host_name: host_name.or(base.host_name),
            trust_on_first_use: trust_on_first_use.or(base.trust_on_first_use),
            os: os.or(base.os),
            transport: transport.or(base.transport),
            scheme: scheme.or(base.scheme),
            authentication: authentication.or(base.authentication),
            port: port.or(base.port),
            legacy_algorithms: unless_empty(legacy_algorithms, base.legacy_algorithms),
            cloud_init: cloud_init.or(base.cloud_init),
            config_drive: config_drive.or(base.config_drive),
            firmware: firmware.or(base.firmware),
            clock: clock.or(base.clock),
            hyper_v: hyper_v.or(base.hyper_v),
            tpm: tpm.or(base.tpm),
            disk_bus: disk_bus.or(base.disk_bus),
            nic: nic.or(base.nic),
            log: log.or(base.log),
            cpus: cpus.or(base.cpus),
            memory_mib: memory_mib.or(base.memory_mib),
            disk_gib: disk_gib.or(base.disk_gib),
            boot_deadline_seconds: boot_deadline_seconds.or(base.boot_deadline_seconds),
        }
    }
}

fn unless_empty(list: Vec<String>, base: Vec<String>) -> Vec<String> {
    if list.is_empty() { base } else { list }
}

fn user(value: &str) -> Result<String, String> {
    let plain = value.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if plain && value.len() <= 256 { Ok(value.to_owned()) } else { Err(format!("{value:?} is no user name")) }
}

fn word(value: &str) -> Result<String, String> {
    let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if plain && value.len() <= 64 {
        Ok(value.to_owned())
    } else {
        Err(format!("{value:?} is no model's name"))
    }
}

fn os(value: &str) -> Result<Os, String> {
    match value {
        "linux" => Ok(Os::Linux),
        "windows" => Ok(Os::Windows),
        _ => Err(format!("{value:?} is none of: linux, windows")),
    }
}

fn transport(value: &str) -> Result<Transport, String> {
    match value {
        "ssh" => Ok(Transport::Ssh),
        "winrm" => Ok(Transport::Winrm),
        _ => Err(format!("{value:?} is none of: ssh, winrm")),
    }
}

fn log(value: &str) -> Result<String, String> {
    let good = match value.split_once(':') {
        None => matches!(value, "journal" | "console"),
        Some(("journal", unit)) => {
            !unit.is_empty() && unit.chars().all(|c| !c.is_control() && !c.is_whitespace())
        }
        Some(("eventlog", channel)) => !channel.is_empty() && !channel.chars().any(char::is_control),
        Some(("file", path)) => {
            let drive = matches!(path.as_bytes(), [letter, b':', b'\\', ..] if letter.is_ascii_alphabetic());
            (drive || path.starts_with('/')) && !path.chars().any(char::is_control)
        }
        Some(_) => false,
    };
    if good {
        Ok(value.to_owned())
    } else {
        Err(format!(
            "{value:?} is none of: journal, journal:UNIT, file:/PATH, eventlog:CHANNEL, file:C:\\PATH, console"
        ))
    }
}

fn one_of(value: &str, allowed: &[&str]) -> Result<String, String> {
    if allowed.contains(&value) {
        Ok(value.to_owned())
    } else {
        Err(format!("{value:?} is none of: {}", allowed.join(", ")))
    }
}

fn number<N: FromStr + PartialOrd + Copy + std::fmt::Display>(
    value: &str,
    least: N,
    most: N,
) -> Result<N, String> {
    match value.parse() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(format!("{value:?} is no whole number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Facts> {
        Facts::from_labels(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn every_fact_of_a_label() {
        let facts = read(&[
            ("org.opencontainers.image.title", "not ours"),
            ("io.infranetes.user", "admin"),
            ("io.infranetes.password", "calvin"),
            ("io.infranetes.host-keys", "ssh-ed25519 AAAA one\nSHA256:abc\n"),
            ("io.infranetes.os", "windows"),
            ("io.infranetes.certificates", "SHA256:abc\nSHA256:def"),
            ("io.infranetes.transport", "winrm"),
            ("io.infranetes.scheme", "https"),
            ("io.infranetes.authentication", "ntlm"),
            ("io.infranetes.port", "2222"),
            ("io.infranetes.legacy-algorithms", "ssh-rsa, diffie-hellman-group1-sha1"),
            ("io.infranetes.cloud-init", "false"),
            ("io.infranetes.config-drive", "true"),
            ("io.infranetes.firmware", "uefi"),
            ("io.infranetes.clock", "local"),
            ("io.infranetes.hyper-v", "true"),
            ("io.infranetes.tpm", "2.0"),
            ("io.infranetes.disk-bus", "ide"),
            ("io.infranetes.nic", "e1000"),
            ("io.infranetes.log", r"file:C:\logs\app.log"),
            ("io.infranetes.cpus", "2"),
            ("io.infranetes.memory-mib", "512"),
            ("io.infranetes.disk-gib", "8"),
            ("io.infranetes.boot-deadline-seconds", "600"),
        ])
        .unwrap();
        let expected = Facts {
            user: Some("admin".into()),
            credential: Some(Credential::Password("calvin".into())),
            host_keys: vec!["ssh-ed25519 AAAA one".into(), "SHA256:abc".into()],
            certificates: vec!["SHA256:abc".into(), "SHA256:def".into()],
            certificate_authority: None,
            certificate_name: None,
            host_name: None,
            trust_on_first_use: None,
            os: Some(Os::Windows),
            transport: Some(Transport::Winrm),
            scheme: Some("https".into()),
            authentication: Some("ntlm".into()),
            port: Some(2222),
            legacy_algorithms: vec!["ssh-rsa".into(), "diffie-hellman-group1-sha1".into()],
            cloud_init: Some(false),
            config_drive: Some(true),
            firmware: Some("uefi".into()),
            clock: Some("local".into()),
            hyper_v: Some(true),
            tpm: Some("2.0".into()),
            disk_bus: Some("ide".into()),
            nic: Some("e1000".into()),
            log: Some(r"file:C:\logs\app.log".into()),
            cpus: Some(2),
            memory_mib: Some(512),
            disk_gib: Some(8),
            boot_deadline_seconds: Some(600),
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn what_is_not_understood_is_an_error_with_the_label() {
        for (label, value, why) in [
            ("io.infranetes.colour", "red", "no such fact"),
            ("io.infranetes.port", "0", "no whole number from 1 to 65535"),
            ("io.infranetes.firmware", "coreboot", "none of: bios, uefi, uefi-secure"),
            ("io.infranetes.tpm", "1.2", "none of: none, 2.0"),
            ("io.infranetes.transport", "telnet", "none of: ssh, winrm"),
            ("io.infranetes.scheme", "ftp", "none of: https, http"),
            ("io.infranetes.certificate-name", "x", "only the node's configuration"),
            ("io.infranetes.host-name", "x", "only the node's configuration"),
            ("io.infranetes.certificate-authority", "/ca.pem", "configuration alone"),
            ("io.infranetes.log", "file:relative", "none of: journal"),
            ("io.infranetes.log", "file:c:relative", "none of: journal"),
            ("io.infranetes.os", "beos", "none of: linux, windows"),
            ("io.infranetes.cloud-init", "yes", "none of: true, false"),
            ("io.infranetes.user", "a b", "no user name"),
            ("io.infranetes.cpus", "", "empty"),
            ("io.infranetes.trust-on-first-use", "true", "only the node's configuration"),
            ("io.infranetes.key-file", "/etc/shadow", "configuration alone"),
            ("io.infranetes.password-file", "/etc/shadow", "configuration alone"),
            ("io.infranetes.credential", "x", "configuration alone"),
        ] {
            let error = read(&[(label, value)]).unwrap_err().to_string();
            assert!(error.contains(label) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_configuration_wins_fact_by_fact() {
        let label = read(&[("io.infranetes.user", "admin"), ("io.infranetes.port", "2222")]).unwrap();
        let configured =
            Facts { user: Some("root".into()), host_keys: vec!["SHA256:abc".into()], ..Facts::default() };
        let both = configured.over(label);
        assert_eq!(both.user.as_deref(), Some("root"));
        assert_eq!(both.port, Some(2222));
        assert_eq!(both.host_keys, ["SHA256:abc"]);
    }
}
