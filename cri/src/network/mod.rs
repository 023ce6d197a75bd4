//! The pod network: a namespace for each pod, wired by CNI, whose interface the machine takes over.
//!
//! ```text
//!  attach: record -> namespace -> CNI ADD -> record result -> read eth0 -> record -> join the tap -> record
//!  detach: addresses back on eth0 -> CNI DEL (recorded list and result) -> namespace removed -> record removed
//! ```
//!
//! A pod whose machine is elsewhere keeps its interface, and has no tap: what comes to its address is forwarded ([`Network::forward`]).
//!
//! Where ADD has no recorded end, `detach` first ends the plugin calls that a killed daemon may have left running.
//!
//! A call that is cut off at any arrow is finished by the same call later, or undone by `detach`. An `attach` that
//! fails undoes itself; when even that fails, the record stays, so that `list` names the pod and `detach` tries again.

mod attachment;
mod cloud_init;
mod cni;
mod command;
mod config;
mod dhcp;
mod error;
mod forward;
mod netns;
mod null;
mod tap;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

pub use attachment::{
    AddressWithPrefix, Attachment, Dns, GuestIdentity, PodNetworkRequest, PortMapping, Route,
};
pub use cloud_init::cloud_init_network;
pub use config::{Mode, NetworkConfig};
pub use dhcp::DhcpGuard;
pub use error::{Error, Result};

use cni::{cache, conflist, plugin, stray};

/// The network of the node's pods. Clones share it.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

struct Shared {
    config: NetworkConfig,
    cache: PathBuf,
    null: null::Addresses,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Network {
    /// Opens the network and its records.
    pub fn open(config: NetworkConfig) -> Result<Self> {
        let cache = match &config.mode {
            Mode::Cni { cache_dir, .. } => cache_dir.clone(),
            _ => config.state_dir.join("cni"),
        };
        if !matches!(config.mode, Mode::Null) {
            std::fs::create_dir_all(&cache).map_err(|error| {
                Error::failed(format!("cannot make the directory {}", cache.display()), error)
            })?;
        }
        let shared = Shared { config, cache, null: null::Addresses::default(), turns: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether pods can be attached; if not, the error says what is missing.
    #[allow(clippy::unused_async)] // part of the interface: callers await it
    pub async fn check(&self) -> Result<()> {
        match self.list_in_force(true)? {
            Some(list) => plugin::find_all(&list, self.plugins()),
            None => Ok(()),
        }
    }

    /// Gives a pod its network. Repeated for the same pod, it gives the same.
    pub async fn attach(&self, pod: &PodNetworkRequest) -> Result<Attachment> {
        valid(pod)?;
        let turn = self.turn(&pod.id);
        let _turn = turn.lock().await;
        if matches!(self.shared.config.mode, Mode::Null) {
            return self.shared.null.attach(&pod.id);
        }
        let done = self.attach_real(pod).await;
        if done.is_err()
            && let Err(error) = self.detach_real(&pod.id).await
        {
            tracing::warn!(pod = %pod.id, %error, "a failed attach could not be undone; detach tries again");
        }
        done
    }

    async fn attach_real(&self, pod: &PodNetworkRequest) -> Result<Attachment> {
        let kept = cache::load(self.cache(), &pod.id)?;
        let kept = match kept {
            Some(entry) if entry.attachment.is_some() && netns::path(&pod.id).exists() => Some(entry),
            Some(_) => {
                self.detach_real(&pod.id).await?;
                None
            }
            None => None,
        };
        let again = kept.is_some();
        let mut entry = match kept {
            Some(entry) => entry,
            None => self.add(pod).await?,
        };
        let attachment = entry
            .attachment
            .clone()
            .ok_or_else(|| Error::said(format!("pod {} has no attachment", pod.id), "remove the pod"))?;
        if !entry.joined {
            if attachment.has_tap() {
                tap::join(&attachment, self.shared.config.tap_user, again).await?;
            }
            entry.joined = true;
            cache::save(self.cache(), &entry)?;
        }
        Ok(attachment)
    }

    async fn add(&self, pod: &PodNetworkRequest) -> Result<cache::Entry> {
        let with_ports = pod.port_mappings.iter().any(|port| port.host_port != 0);
        let list = self.list_in_force(with_ports)?.unwrap_or_default();
        plugin::find_all(&list, self.plugins())?;
        let mut entry = cache::begin(self.cache(), pod, list)?;
        netns::make(&pod.id).await?;
        entry.result = Some(plugin::add(&entry, self.plugins()).await?);
        cache::save(self.cache(), &entry)?;
        let mut attachment = tap::read(&pod.id, entry.result.as_ref().unwrap_or(&Value::Null)).await?;
        if pod.forwards {
            attachment.tap.clear();
        }
        entry.attachment = Some(attachment);
        cache::save(self.cache(), &entry)?;
        Ok(entry)
    }

    /// Takes a pod's network back. A pod without one is no error.
    pub async fn detach(&self, id: &str) -> Result<()> {
        valid_id(id)?;
        let turn = self.turn(id);
        let held = turn.lock().await;
        let done = if matches!(self.shared.config.mode, Mode::Null) {
            self.shared.null.detach(id);
            Ok(())
        } else {
            self.detach_real(id).await
        };
        drop(held);
        let mut turns = self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Two are the map's and this call's own: nobody waits.
        if Arc::strong_count(&turn) <= 2 {
            turns.remove(id);
        }
        done
    }

    async fn detach_real(&self, id: &str) -> Result<()> {
        if let Some(entry) = cache::load(self.cache(), id)? {
            match &entry.result {
                Some(result) => tap::restore(id, result).await?,
                None => stray::end(id).await?,
            }
            let mut done = plugin::del(&entry, self.plugins()).await;
            if done.is_err() && entry.result.is_none() {
                // A plugin may stumble over what its cut-off ADD never made; by then it has removed the rest.
                done = plugin::del(&entry, self.plugins()).await;
            }
            done?;
        }
        netns::remove(id).await?;
        cache::forget(self.cache(), id)
    }

    /// Answers the DHCP requests of a pod's machine, until the guard is dropped.
    pub async fn serve_dhcp(&self, attachment: &Attachment, identity: &GuestIdentity) -> Result<DhcpGuard> {
        dhcp::serve(attachment, identity).await
    }

    /// Forwards what comes to a pod to a machine elsewhere, from now on and instead of what was before.
    pub async fn forward(&self, attachment: &Attachment, to: IpAddr) -> Result<()> {
        if attachment.is_real() { forward::set(attachment, to).await } else { Ok(()) }
    }

    /// Forwards nothing to anyone any more. A pod that never did is no error.
    pub async fn stop_forwarding(&self, attachment: &Attachment) -> Result<()> {
        if attachment.is_real() { forward::clear(attachment).await } else { Ok(()) }
    }

    /// The ids of the pods of which anything may exist. The record of a pod is written first and goes last, so it is
    /// the records that count: a namespace without one is another daemon's.
    #[allow(clippy::unused_async)] // part of the interface: callers await it
    pub async fn list(&self) -> Result<Vec<String>> {
        if matches!(self.shared.config.mode, Mode::Null) {
            return Ok(self.shared.null.list());
        }
        cache::list(self.cache())
    }

    fn list_in_force(&self, with_ports: bool) -> Result<Option<Value>> {
        match &self.shared.config.mode {
            Mode::Null => Ok(None),
            Mode::Cni { conf_dir, .. } => conflist::first(conf_dir).map(Some),
            Mode::Builtin { subnets, bridge, mtu, .. } => {
                let data = self.shared.config.state_dir.join("addresses");
                Ok(Some(conflist::builtin(subnets, bridge, *mtu, &data, with_ports)))
            }
        }
    }

    fn plugins(&self) -> &[PathBuf] {
        match &self.shared.config.mode {
            Mode::Null => &[],
            Mode::Cni { bin_dirs, .. } | Mode::Builtin { bin_dirs, .. } => bin_dirs,
        }
    }

    fn cache(&self) -> &Path {
        &self.shared.cache
    }

    fn turn(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.shared.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(id.to_owned()).or_default().clone()
    }
}

fn valid_id(id: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.len() <= 128
        && id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && id.bytes().all(plain)
    {
        return Ok(());
    }
    Err(Error::Invalid(format!("the pod id {id:?} is no file name; use letters, digits, '-', '_' and '.'")))
}

fn valid(pod: &PodNetworkRequest) -> Result<()> {
    valid_id(&pod.id)?;
    for text in [&pod.name, &pod.namespace, &pod.uid] {
        if text.contains([';', '=', '\0', '\n']) {
            return Err(Error::Invalid(format!(
                "pod {}: {text:?} has a ';', '=' or line end; name it otherwise",
                pod.id
            )));
        }
    }
    Ok(())
}
