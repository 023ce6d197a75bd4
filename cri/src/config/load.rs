//! Reading the file. An error names the file, the line, the key and what to do.

use std::path::Path;

use super::{Config, ProviderConfig};
use crate::error::{Error, Result};

/// The largest limit that makes sense, in GiB.
const LARGEST_GIB: u64 = 1 << 20;

impl Config {
    /// Reads and checks a configuration file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| {
            Error::invalid(format!(
                "cannot read the configuration {}: {source}; name another file with --config",
                path.display()
            ))
        })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut config: Self = toml::from_str(text).map_err(|source| {
            let line = source.span().map_or(1, |span| line_of(text, span.start));
            let found = text.lines().nth(line - 1).unwrap_or_default().trim();
            Error::invalid(format!(
                "{}:{line}: {} (in `{found}`); docs/configuration.md lists every key with its values",
                path.display(),
                source.message()
            ))
        })?;
        config.check(text, path)?;
        config.leave_to_delegate(text, path)?;
        Ok(config)
    }

    /// Takes the delegate's handlers from ours, which have some by default. One that the file gives to both is refused.
    fn leave_to_delegate(&mut self, text: &str, path: &Path) -> Result<()> {
        let Some(delegate) = &self.delegate else { return Ok(()) };
        let written: toml::Table = toml::from_str(text).unwrap_or_default();
        let ours = |name: &str| written.get("handlers").is_some_and(|handlers| handlers.get(name).is_some());
        for name in &delegate.handlers {
            if ours(name) {
                let line =
                    text.lines().position(|line| line.starts_with("[delegate]")).map_or(1, |index| index + 1);
                return Err(Error::invalid(format!(
                    "{}:{line}: handler {name:?} is in delegate.handlers and in [handlers]; leave it in one of them",
                    path.display()
                )));
            }
            self.handlers.remove(name);
        }
        Ok(())
    }

    /// What the types cannot say.
    fn check(&self, text: &str, path: &Path) -> Result<()> {
        let refuse = |key: &str, why: String| {
            let line = text.lines().position(|line| line.contains(key)).map_or(1, |index| index + 1);
            Err(Error::invalid(format!("{}:{line}: {why}", path.display())))
        };
        for (name, handler) in &self.handlers {
            if !self.providers.contains_key(&handler.provider) {
                let known: Vec<_> = self.providers.keys().map(String::as_str).collect();
                return refuse(
                    &handler.provider,
                    format!(
                        "handler {name:?} names the provider {:?}, which does not exist; define \
                         [providers.{}] or use one of: {}",
                        handler.provider,
                        handler.provider,
                        known.join(", ")
                    ),
                );
            }
        }
        for (name, provider) in &self.providers {
            if let ProviderConfig::Qemu(section) = provider
                && let Some((key, why)) = section.wrong(name)
            {
                return refuse(key, why);
            }
        }
        if let Some((key, why)) = self.tracing.fault() {
            return refuse(key, why);
        }
        if self.machine.cpus == 0 {
            return refuse("cpus", "machine.cpus is 0; a machine has at least 1".into());
        }
        if self.machine.memory_mib < 32 {
            return refuse("memory-mib", "machine.memory-mib is below 32; no guest boots with that".into());
        }
        if self.timeouts.start_wait_seconds > 110 {
            return refuse(
                "start-wait-seconds",
                "timeouts.start-wait-seconds is above 110; the kubelet gives StartContainer two minutes"
                    .into(),
            );
        }
        if self.timeouts.boot_deadline_seconds > crate::pod::facts::LONGEST_BOOT_SECONDS {
            return refuse("boot-deadline-seconds", "timeouts.boot-deadline-seconds is above a day".into());
        }
        if self.images.max_disk_gib > LARGEST_GIB || self.images.max_unpacked_gib > LARGEST_GIB {
            return refuse("-gib", format!("a limit of [images] is above {LARGEST_GIB} GiB"));
        }
        if let Some((key, why)) = self.streaming.wrong() {
            return refuse(key, why);
        }
        if let Some((key, why)) = self.delegate.as_ref().and_then(|delegate| delegate.wrong(&self.socket)) {
            return refuse(key, why);
        }
        let known = crate::pod::annotations::ALL;
        for name in &self.allowed_annotations {
            if !known.contains(&name.as_str()) {
                return refuse(
                    name,
                    format!(
                        "allowed-annotations names {name:?}, which does not exist; known: {}",
                        known.join(", ")
                    ),
                );
            }
        }
        for rule in &self.image {
            if let Err(why) = crate::pod::facts::check(&rule.facts) {
                return refuse(&rule.pattern, format!("[[image]] pattern {:?}: {why}", rule.pattern));
            }
        }
        Ok(())
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Config::parse(text, Path::new("infranetes.toml")).expect_err("must be refused").to_string()
    }

    #[test]
    fn an_empty_file_is_a_whole_configuration() {
        let config = Config::parse("", Path::new("x")).unwrap();
        assert_eq!(config.timeouts.start_wait_seconds, 60);
        assert!(config.handlers.contains_key(""));
        assert!(config.handlers.contains_key("vm"));
    }

    #[test]
    fn an_unknown_key_names_file_line_key_and_remedy() {
        let message = refused("state-dir = \"/x\"\n[timeouts]\nstart-wait = 3\n");
        assert!(message.starts_with("infranetes.toml:3: "), "{message}");
        assert!(message.contains("start-wait") && message.contains("docs/configuration.md"), "{message}");
    }

    #[test]
    fn the_page_has_every_key() {
        let page = include_str!("../../../docs/configuration.md");
        for section in [
            "",
            "[handlers.vm]\nprovider = \"qemu\"",
            "[providers.qemu]\nkind = \"qemu\"",
            "[providers.fleet]\nkind = \"fleet\"\ninventory = \"/f\"",
            "[delegate]\nendpoint = \"unix:///run/c.sock\"",
            "[network]",
            "[images]",
            "[streaming]",
            "[metrics]",
            "[tracing]",
            "[timeouts]",
            "[machine]",
            "[[image]]\npattern = \"*\"",
            "[[image]]\npattern = \"*\"\n[image.facts]",
        ] {
            let message = refused(&format!("{section}\nno-such-key = 1\n"));
            let (_, expected) = message.split_once("expected ").expect(&message);
            let (expected, _) = expected.split_once(" (in ").expect(&message);
            for key in expected.split('`').skip(1).step_by(2) {
                let told = [format!("`{key}`"), format!(" {key}`"), format!("[{key}")];
                assert!(told.iter().any(|told| page.contains(told)), "the page has no {key} of {section:?}");
            }
        }
    }

    #[test]
    fn a_handler_without_its_provider_is_refused() {
        let message = refused("[handlers.vm]\nprovider = \"kvm\"\n");
        assert!(message.contains(":2: handler \"vm\" names the provider \"kvm\""), "{message}");
        assert!(message.contains("qemu"), "{message}");
    }

    #[test]
    fn a_firmware_has_its_variables() {
        let with = |more: &str| format!("[providers.qemu]\nkind = \"qemu\"\n{more}");
        let message = refused(&with("ovmf-code = \"/c\"\n"));
        assert!(message.starts_with("infranetes.toml:3: ") && message.contains("give both"), "{message}");
        let message = refused(&with("ovmf-code = \"/c\"\novmf-vars = \"/v\"\novmf-secure-vars = \"/s\"\n"));
        assert!(
            message.starts_with("infranetes.toml:5: ") && message.contains("ovmf-secure-code"),
            "{message}"
        );
        Config::parse(&with("ovmf-code = \"/c\"\novmf-vars = \"/v\"\n"), Path::new("x")).unwrap();
    }

    #[test]
    fn streaming_in_the_clear_stays_on_loopback() {
        let message = refused("[streaming]\naddress = \"192.0.2.1:10250\"\n");
        assert!(
            message.starts_with("infranetes.toml:2: ") && message.contains("tls-certificate"),
            "{message}"
        );
        let message = refused("[streaming]\ntls-key = \"/k\"\n");
        assert!(message.contains("give both or none"), "{message}");
        let message =
            refused("[streaming]\naddress = \"0.0.0.0:1\"\ntls-key = \"/k\"\ntls-certificate = \"/c\"\n");
        assert!(message.contains("names no host"), "{message}");
    }

    #[test]
    fn a_handler_is_ours_or_the_delegates() {
        let with = |more: &str| format!("[delegate]\nendpoint = \"unix:///run/c.sock\"\n{more}");
        let config = Config::parse(&with(""), Path::new("x")).unwrap();
        assert_eq!(
            config.handlers.keys().collect::<Vec<_>>(),
            ["vm"],
            "the default handler is the delegate's"
        );
        let message = refused(&with("[handlers.\"\"]\nprovider = \"qemu\"\n"));
        assert!(
            message.contains("toml:1: handler \"\" is in delegate.handlers and in [handlers]"),
            "{message}"
        );
        let config = Config::parse(&with("handlers = [\"runc\"]\n"), Path::new("x")).unwrap();
        assert!(config.handlers.contains_key("") && config.handlers.contains_key("vm"));
        assert!(refused(&with("handlers = []\n")).contains("toml:3: delegate.handlers is empty"));
        assert!(refused("[delegate]\nendpoint = \"/run/c.sock\"\n").contains("unix:///PATH"));
        let own = "socket = \"/run/c.sock\"\n[delegate]\nendpoint = \"unix:///run/c.sock\"\n";
        assert!(refused(own).contains("own socket"));
    }

    #[test]
    fn a_bad_fact_names_its_rule() {
        let message = refused("[[image]]\npattern = \"x/*\"\nfacts.firmware = \"coreboot\"\n");
        assert!(message.contains("x/*") && message.contains("coreboot"), "{message}");
    }

    #[test]
    fn traces_need_an_endpoint_and_a_ratio() {
        let config =
            Config::parse("[tracing]\nendpoint = \"http://127.0.0.1:4317\"\n", Path::new("x")).unwrap();
        assert_eq!(config.tracing.endpoint.as_deref(), Some("http://127.0.0.1:4317"));
        for endpoint in ["127.0.0.1:4317", "https://127.0.0.1:4317", "http://collector"] {
            let message = refused(&format!("[tracing]\nendpoint = \"{endpoint}\"\n"));
            assert!(message.contains("toml:2:") && message.contains("http://HOST:PORT"), "{message}");
        }
        let message = refused("[tracing]\nsample-ratio = 2.0\n");
        assert!(message.contains("toml:2:") && message.contains("from 0"), "{message}");
    }

    #[test]
    fn metrics_need_an_address_with_a_port() {
        let config = Config::parse("[metrics]\naddress = \"127.0.0.1:9464\"\n", Path::new("x")).unwrap();
        assert_eq!(config.metrics.address, Some(([127, 0, 0, 1], 9464).into()));
        let message = refused("[metrics]\naddress = \"127.0.0.1\"\n");
        assert!(message.starts_with("infranetes.toml:2: ") && message.contains("address"), "{message}");
    }

    #[test]
    fn a_wrong_type_is_told_with_its_line() {
        let message = refused("\n\n[machine]\ncpus = \"two\"\n");
        assert!(message.starts_with("infranetes.toml:4: "), "{message}");
    }
}
