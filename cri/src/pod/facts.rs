//! The facts of an image as its machine needs them: labels, overruled by the configuration, overruled by annotations.

use std::collections::BTreeMap;
use std::time::Duration;

use guests::Family;
use guests::log::LogSource;
use images::Facts;
use machines::{Clock, DiskBus, Firmware, NicModel, OnReset, Tpm};

use super::protocol::Protocol;
use super::{annotations, secret};
pub use crate::config::family;
use crate::config::{Config, ImageRule};
use crate::error::{Error, Result};

/// The longest that a guest may take to its first answer, in seconds.
pub const LONGEST_BOOT_SECONDS: u64 = 24 * 60 * 60;
/// How long a guest that boots anew may be silent where its pod does not say, in seconds.
const REBOOT_GRACE_SECONDS: u64 = 120;

/// The facts that hold for an image of these names: its labels, and over them each matching rule in order.
pub fn merged(labels: Facts, names: &[String], rules: &[ImageRule]) -> Facts {
    rules
        .iter()
        .filter(|rule| names.iter().any(|name| rule.matches(name)))
        .fold(labels, |facts, rule| rule.facts.clone().over(facts))
}

/// Whether every fact can be understood. The text says which cannot.
pub fn check(facts: &Facts) -> Result<(), String> {
    Hardware::of(facts).map_err(|error| error.to_string())?;
    Protocol::named(facts)?;
    if facts.boot_deadline_seconds.is_some_and(|seconds| seconds > LONGEST_BOOT_SECONDS) {
        return Err(format!("boot-deadline-seconds is above {LONGEST_BOOT_SECONDS}"));
    }
    if let Some(log) = &facts.log {
        // Who does not say the system may leave that to another rule, or to the image.
        let of_any = Family::ALL.iter().any(|family| LogSource::parse(log, *family).is_ok());
        if facts.os.is_some() || !of_any {
            LogSource::parse(log, family(facts))?;
        }
    }
    Ok(())
}

/// The hardware that a guest expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hardware {
    /// The firmware.
    pub firmware: Firmware,
    /// What the machine's clock shows.
    pub clock: Clock,
    /// Whether the guest is shown a Hyper-V.
    pub hyper_v: bool,
    /// Its Trusted Platform Module.
    pub tpm: Tpm,
    /// The bus of the root disk.
    pub disk_bus: DiskBus,
    /// The network card.
    pub nic: NicModel,
}

impl Hardware {
    /// Reads the hardware out of the facts.
    pub fn of(facts: &Facts) -> Result<Self> {
        Ok(Self {
            firmware: word("firmware", facts.firmware.as_deref())?,
            clock: word("clock", facts.clock.as_deref())?,
            hyper_v: facts.hyper_v.unwrap_or_default(),
            tpm: word("tpm", facts.tpm.as_deref())?,
            disk_bus: word("disk-bus", facts.disk_bus.as_deref())?,
            nic: word("nic", facts.nic.as_deref())?,
        })
    }
}

/// One of the words of an enumeration, or its default.
fn word<T: Default + serde::de::DeserializeOwned>(fact: &str, value: Option<&str>) -> Result<T> {
    let Some(value) = value else { return Ok(T::default()) };
    serde_json::from_value(serde_json::Value::String(value.to_owned()))
        .map_err(|source| Error::invalid(format!("the image's {fact} {value:?} is not known: {source}")))
}

/// Whether the guest of such a pod is given a seed: where it says so, or where there is no other way in and its family reads one.
pub fn seeded(facts: &Facts, pod: &BTreeMap<String, String>) -> bool {
    let no_other_way = || facts.credential.is_none() && secret::named(pod).is_none();
    facts.cloud_init.unwrap_or_else(|| no_other_way() && family(facts).has_cloud_init())
}

/// The user to log in as.
pub fn user(facts: &Facts) -> &str {
    facts.user.as_deref().unwrap_or(family(facts).administrator())
}

/// Where the machine container's log comes from.
pub fn log(facts: &Facts, pod: &BTreeMap<String, String>) -> Result<LogSource> {
    let text = pod.get(annotations::LOG).or(facts.log.as_ref());
    let parse = |text: &String| LogSource::parse(text, family(facts)).map_err(Error::Invalid);
    text.map_or(Ok(LogSource::Console), parse)
}

/// What a reset from inside means.
pub fn on_reset(pod: &BTreeMap<String, String>) -> Result<OnReset> {
    word(annotations::ON_RESET, pod.get(annotations::ON_RESET).map(String::as_str))
}

/// How long the guest may take to its first answer.
pub fn boot_deadline(facts: &Facts, pod: &BTreeMap<String, String>, config: &Config) -> Result<Duration> {
    let default = facts.boot_deadline_seconds.unwrap_or(config.timeouts.boot_deadline_seconds);
    seconds(pod, annotations::BOOT_DEADLINE, default)
}

/// How long a guest that boots anew from inside may be silent; none where that ends its container.
pub fn reboot_grace(pod: &BTreeMap<String, String>) -> Result<Option<Duration>> {
    let grace = seconds(pod, annotations::REBOOT_GRACE, REBOOT_GRACE_SECONDS)?;
    Ok((on_reset(pod)? == OnReset::Continue).then_some(grace))
}

/// How long an annotation says that a boot may take.
fn seconds(pod: &BTreeMap<String, String>, annotation: &str, default: u64) -> Result<Duration> {
    let seconds = match pod.get(annotation) {
        Some(text) => text.parse().map_err(|_| {
            Error::invalid(format!("annotation {annotation} is {text:?}; it takes a number of seconds"))
        })?,
        None => default,
    };
    if seconds > LONGEST_BOOT_SECONDS {
        return Err(Error::invalid(format!(
            "annotation {annotation} is {seconds} s, which is too long; it may be {LONGEST_BOOT_SECONDS} s at most"
        )));
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_for_whom_reads_it() {
        let pod = BTreeMap::new();
        let mut facts = Facts::default();
        assert!(seeded(&facts, &pod));
        facts.os = Some(serde_json::from_str("\"windows\"").unwrap());
        assert!(!seeded(&facts, &pod));
        facts.cloud_init = Some(true);
        assert!(seeded(&facts, &pod));
    }

    #[test]
    fn hardware_is_read_by_name() {
        let facts = Facts { disk_bus: Some("sata".into()), nic: Some("e1000".into()), ..Facts::default() };
        let hardware = Hardware::of(&facts).unwrap();
        assert_eq!((hardware.disk_bus, hardware.nic), (DiskBus::Sata, NicModel::E1000));
        let facts = Facts { tpm: Some("2.0".into()), ..Facts::default() };
        assert_eq!(Hardware::of(&facts).unwrap().tpm, Tpm::V2);
        let facts = Facts { firmware: Some("coreboot".into()), ..Facts::default() };
        assert!(check(&facts).unwrap_err().contains("firmware \"coreboot\""));
    }

    #[test]
    fn the_configuration_overrules_the_labels() {
        let rule = |pattern: &str, user: &str| ImageRule {
            pattern: pattern.into(),
            facts: Facts { user: Some(user.into()), ..Facts::default() },
        };
        let labels = Facts { user: Some("label".into()), port: Some(2222), ..Facts::default() };
        let rules = [rule("r/*", "first"), rule("r/a:1", "second"), rule("other", "third")];
        let facts = merged(labels, &["r/a:1".into()], &rules);
        assert_eq!((facts.user.as_deref(), facts.port), (Some("second"), Some(2222)));
    }

    #[test]
    fn only_a_guest_that_may_boot_anew_has_time_for_that() {
        let grace = |annotations: &[(&str, &str)]| {
            let pod = annotations.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            reboot_grace(&pod).map_err(|error| error.to_string())
        };
        let goes_on = (annotations::ON_RESET, "continue");
        assert_eq!(grace(&[(annotations::REBOOT_GRACE, "5")]), Ok(None));
        assert_eq!(grace(&[goes_on]), Ok(Some(Duration::from_secs(120))));
        assert_eq!(grace(&[goes_on, (annotations::REBOOT_GRACE, "0")]), Ok(Some(Duration::ZERO)));
        assert!(grace(&[(annotations::REBOOT_GRACE, "soon")]).unwrap_err().contains("\"soon\""));
        assert!(grace(&[(annotations::REBOOT_GRACE, "86401")]).unwrap_err().contains("too long"));
    }
}
