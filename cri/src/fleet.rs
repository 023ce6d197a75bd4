//! Machines that already run, as images: `fleet/NAME` is the machine of this name in the inventory of a provider.
//!
//! ```text
//!   fleet/web-1[:latest], or its id --meant--> the entry, and whose it is --> an image: pinned, nothing to download
//! ```
//!
//! Happy path: a pull answers the id, a status and the lists show it, and `CreateContainer` on a handler of that provider
//! adopts the machine. What the inventory says of it are the facts of the image, over which the configuration's rules go.
//!
//! Failure paths: a name that no inventory has is refused with the remedy, and is asked of no registry. On a node without such
//! a provider the name means what it means everywhere. An entry by which nobody can log in, or whose identity nothing proves,
//! is refused when its container is made; so is an image of a disk on such a provider, and a machine on any other.

use std::time::SystemTime;

use images::{Credential as Given, Facts, Image};
use machines::fleet::{Credential, Entry, Inventory};
use sha2::{Digest, Sha256};

use crate::config::ImageRule;
use crate::error::{Error, Result};
use crate::pod::protocol::{self, Protocol};
use crate::pod::{Context, facts as image_facts, secret};
use crate::store::{ContainerRecord, PodRecord};

/// What the references begin with.
const SOURCE: &str = "fleet/";
/// The one tag: what the kubelet adds where there is none.
const TAG: &str = "latest";
/// The kubelet takes an image without a size for one that is not there.
const SIZE_BYTES: u64 = 1;

/// What a reference or an id means.
#[derive(Debug)]
pub enum Meant {
    /// A machine of a fleet.
    Machine(Box<Found>),
    /// A machine of this name, which no inventory has.
    Unknown(String),
    /// An image like any other.
    Disk,
}

/// An entry of an inventory.
#[derive(Debug)]
pub struct Found {
    /// The provider whose it is.
    pub provider: String,
    /// The entry.
    pub entry: Entry,
}

impl Context {
    /// What a reference or an id means on this node.
    pub fn meant(&self, text: &str) -> Result<Meant> {
        let mut fleets = self.inventories().peekable();
        if fleets.peek().is_none() {
            return Ok(Meant::Disk);
        }
        let name = named(text)?;
        let wanted = |entry: &&Entry| name.map_or_else(|| id(&entry.name) == text, |name| entry.name == name);
        for (provider, inventory) in fleets {
            if let Some(entry) = inventory.entries.iter().find(wanted) {
                return Ok(Meant::Machine(Box::new(Found { provider, entry: entry.clone() })));
            }
        }
        Ok(name.map_or(Meant::Disk, |name| Meant::Unknown(name.to_owned())))
    }

    /// The image of a reference or an id: a machine of a fleet, or what the store has.
    pub async fn find_image(&self, text: &str) -> Result<Option<Image>> {
        match self.meant(text)? {
            Meant::Machine(found) => Ok(Some(image(&found.entry))),
            Meant::Unknown(_) => Ok(None),
            Meant::Disk => Ok(self.images.find(text).await?),
        }
    }

    /// The machines of all fleets, as images.
    pub fn fleet_images(&self) -> Vec<Image> {
        self.inventories()
            .flat_map(|(_, inventory)| inventory.entries.iter().map(image).collect::<Vec<_>>())
            .collect()
    }

    /// The inventories of the providers that have one.
    fn inventories(&self) -> impl Iterator<Item = (String, std::sync::Arc<Inventory>)> + '_ {
        let of = |(name, provider): (&String, &std::sync::Arc<dyn machines::Provider>)| {
            Some((name.clone(), provider.adopting()?.inventory()))
        };
        self.providers.iter().filter_map(of)
    }

    /// The machine that a container of this image adopts on a pod's provider; none where its machine is made from a disk.
    /// What does not go together is refused.
    pub fn machine_to_adopt(&self, pod: &PodRecord, container: &ContainerRecord) -> Result<Option<Entry>> {
        let (provider, image) = (&pod.provider, &container.image);
        let adopts = self.provider(provider)?.adopting().is_some();
        match self.meant(&container.image_id)? {
            Meant::Machine(found) if found.provider == *provider => {
                fit(&found.entry.name, &container.facts, pod)?;
                Ok(Some(found.entry))
            }
            Meant::Machine(found) => Err(Error::invalid(format!(
                "image {image} is a machine of provider {:?}, and the pod runs on {provider:?}; give the pod a \
                 runtimeClassName whose handler means {:?}",
                found.provider, found.provider
            ))),
            _ if adopts => Err(Error::invalid(format!(
                "image {image} is no machine of the inventory, and provider {provider:?} has no others; name one as \
                 fleet/NAME, or give the pod another runtimeClassName"
            ))),
            _ => Ok(None),
        }
    }
}

/// What a name that no inventory has is answered.
pub fn unknown(name: &str) -> Error {
    Error::invalid(format!(
        "no inventory of this node has a machine {name:?}; add it as a [[machine]] (`infranetes fleet ls` shows those there are)"
    ))
}

/// Whether a pod can have the machine of which these facts hold.
fn fit(name: &str, facts: &Facts, pod: &PodRecord) -> Result<()> {
    let protocol = Protocol::of(facts)?;
    if !protocol.is_pinned(facts) && facts.trust_on_first_use != Some(true) {
        let look = if protocol.shows_itself() {
            format!("`infranetes fleet check {name}` shows the one that it has now")
        } else {
            "or trust whoever knows its password, by `trust-on-first-use = true`".to_owned()
        };
        return Err(Error::invalid(format!(
            "nothing is known that machine {name:?} of the fleet could prove itself by; {} in the inventory ({look})",
            protocol.remedy()
        )));
    }
    if facts.credential.is_none() && secret::named(&pod.annotations).is_none() {
        return Err(Error::invalid(format!(
            "nothing is known by which one may log in to machine {name:?} of the fleet; give its `credential` in the inventory, \
             or name a Secret in the pod's annotation {}",
            crate::pod::annotations::CREDENTIAL
        )));
    }
    if let Some(sysctl) = pod.sysctls.keys().next() {
        return Err(Error::invalid(format!(
            "the pod sets the sysctl {sysctl}, and machine {name:?} of the fleet is only lent to it; set it on the machine itself"
        )));
    }
    Ok(())
}

/// The name in a reference to a machine; none where it is none.
fn named(text: &str) -> Result<Option<&str>> {
    let Some(rest) = text.strip_prefix(SOURCE) else { return Ok(None) };
    let (name, tag) = rest.split_once(':').unwrap_or((rest, TAG));
    if tag != TAG || name.contains(['@', '/']) {
        return Err(Error::invalid(format!(
            "image {text:?} names a machine of the fleet, which has neither tags nor digests; write {SOURCE}NAME"
        )));
    }
    Ok(Some(name))
}

/// The id of a machine's image: the same as long as it has its name.
fn id(name: &str) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(format!("{SOURCE}{name}"));
    digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn tag(name: &str) -> String {
    format!("{SOURCE}{name}:{TAG}")
}

/// What holds for a machine: what its entry says, and over that each rule for its name.
pub(crate) fn ruled(entry: &Entry, rules: &[ImageRule]) -> Facts {
    image_facts::merged(facts(entry), &[tag(&entry.name)], rules)
}

/// A machine as an image.
fn image(entry: &Entry) -> Image {
    Image {
        id: id(&entry.name),
        tags: vec![tag(&entry.name)],
        digests: Vec::new(),
        size_bytes: SIZE_BYTES,
        pinned: true,
        config_user: None,
        facts: facts(entry),
        labels: entry.labels.clone(),
        created_at: SystemTime::UNIX_EPOCH,
    }
}

/// What the inventory says of a machine, as it is said of an image.
fn facts(entry: &Entry) -> Facts {
    Facts {
        user: entry.user.clone(),
        credential: entry.credential.as_ref().map(|credential| match credential {
            Credential::KeyFile(file) => Given::KeyFile(file.clone()),
            Credential::PasswordFile(file) => Given::PasswordFile(file.clone()),
            Credential::Tickets => Given::Tickets,
        }),
        host_keys: entry.host_keys.clone(),
        certificates: entry.certificates.clone(),
        certificate_authority: entry.certificate_authority.clone(),
        certificate_name: entry
            .certificate_authority
            .as_ref()
            .map(|_| entry.certificate_name.clone().unwrap_or_else(|| entry.host.clone())),
        host_name: entry.host_name.clone(),
        trust_on_first_use: entry.trust_on_first_use.then_some(true),
        os: Some(protocol::os_of_entry(entry)),
        transport: Some(protocol::of_entry(entry)),
        scheme: entry.scheme.map(|scheme| scheme.word().to_owned()),
        authentication: entry.authentication.map(|how| how.word().to_owned()),
        port: Some(entry.port),
        legacy_algorithms: entry.legacy_algorithms.clone(),
        // It has booted long ago.
        cloud_init: Some(false),
        log: entry.log.clone(),
        boot_deadline_seconds: Some(entry.answer_within_seconds),
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_machine() {
        let name = |text| named(text).map_err(|error| error.to_string());
        assert_eq!(name("fleet/web-1"), Ok(Some("web-1")));
        assert_eq!(name("fleet/web-1:latest"), Ok(Some("web-1")));
        assert_eq!(name("registry.example/fleet/web-1"), Ok(None));
        assert_eq!(name("docker.io/fleet/web-1"), Ok(None));
        for bad in ["fleet/web-1:2", "fleet/web-1@sha256:0", "fleet/a/b"] {
            assert!(name(bad).unwrap_err().contains("write fleet/NAME"), "{bad}");
        }
    }

    #[test]
    fn an_id_is_that_of_an_image() {
        let id = id("web-1");
        assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    }
}
