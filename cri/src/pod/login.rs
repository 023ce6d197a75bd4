//! How the daemon gets into a pod's guest: the target of its link.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use images::{Credential as Given, Facts};
use transports::{Credential, Identity, Secret, Target};

use super::protocol::Protocol;
use super::secret::SecretLogin;
use super::{annotations, facts};
use crate::error::{Error, Result};
use crate::store::{ContainerRecord, PodRecord};

/// The longest file with a credential, in bytes.
const LONGEST_CREDENTIAL: u64 = 64 << 10;

/// Who is connected to, as whom, and what it must prove.
///
/// A guest with a seed is given the pod's keys and proves the pod's host key. Any other is entered with the credential
/// of a Secret of its pod or of its image's facts, and proves what those facts pin; what it shows first is trusted only
/// where the configuration says so for that image.
pub(super) fn target(
    pod: &PodRecord,
    container: &ContainerRecord,
    address: IpAddr,
    kubelet: &Path,
) -> Result<Target> {
    let (image, facts) = (&container.image, &container.facts);
    let protocol = Protocol::of(facts)?;
    let seeded = protocol.has_keys() && facts::seeded(facts, &pod.annotations);
    let credentials = match (SecretLogin::of(pod, kubelet)?, &facts.credential) {
        (Some(secret), _) => vec![Credential::Kept(Arc::new(secret))],
        (None, Some(given)) => vec![read(given)?],
        (None, None) if protocol.has_keys() => {
            vec![Credential::Key(Secret::new(pod.keys.client_private.clone()))]
        }
        (None, None) => {
            return Err(Error::invalid(format!(
                "nothing is known by which one may log in to the guest of image {image}; give its `credential` in the \
                 configuration, or name a Secret in the pod's annotation {}",
                annotations::CREDENTIAL
            )));
        }
    };
    let identity = if let Some(pinned) = protocol.pinned(facts, address)? {
        pinned
    } else if seeded {
        Identity::Pinned(vec![pod.keys.host_public.clone()])
    } else if !container.proven_identity.is_empty() {
        Identity::Pinned(container.proven_identity.clone())
    } else if facts.trust_on_first_use == Some(true) {
        Identity::TrustOnFirstUse
    } else {
        return Err(Error::invalid(format!(
            "nothing is known that the guest of image {image} could prove itself by; {} as a label or in the configuration, \
             or set `trust-on-first-use = true` for this image there",
            protocol.remedy()
        )));
    };
    Ok(towards(facts, protocol, address, credentials, identity))
}

/// A guest with these facts at an address.
pub(crate) fn towards(
    facts: &Facts,
    protocol: Protocol,
    address: IpAddr,
    credentials: Vec<Credential>,
    identity: Identity,
) -> Target {
    Target {
        address: SocketAddr::new(address, protocol.port(facts)),
        user: facts::user(facts).to_owned(),
        host_name: facts.host_name.clone(),
        credentials,
        identity,
        legacy_algorithms: facts.legacy_algorithms.clone(),
    }
}

/// A credential that was given, as it is now.
pub(crate) fn read(given: &Given) -> Result<Credential> {
    let file = |path: &Path| {
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(LONGEST_CREDENTIAL).read_to_string(&mut text))
            .map_err(|source| {
                Error::failed(format!("cannot read the image's credential {}", path.display()), source)
            })?;
        Ok::<_, Error>(text)
    };
    Ok(match given {
        Given::KeyFile(path) => Credential::Key(Secret::new(file(path)?)),
        Given::PasswordFile(path) => {
            Credential::Password(Secret::new(file(path)?.trim_end_matches(['\r', '\n'])))
        }
        Given::Password(password) => Credential::Password(Secret::new(password.clone())),
        Given::Tickets => Credential::Tickets,
    })
}
