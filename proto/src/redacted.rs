//! `Debug` for messages that may carry secrets.
//!
//! A registry's credentials and the values of environment variables (which the kubelet fills from
//! Secrets) travel in plain fields. Their messages therefore have no generated `Debug`: the one
//! here keeps what helps to find a fault and hides the rest, so that no log or error tells it.

use std::fmt;

use crate::runtime::v1::{AuthConfig, KeyValue};

/// Stands for a secret that is there; an absent one prints as an empty string.
fn hidden(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { "[redacted]" }
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { username, password, auth, server_address, identity_token, registry_token } = self;
        f.debug_struct("AuthConfig")
            .field("username", username)
            .field("password", &hidden(password))
            .field("auth", &hidden(auth))
            .field("server_address", server_address)
            .field("identity_token", &hidden(identity_token))
            .field("registry_token", &hidden(registry_token))
            .finish()
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value } = self;
        f.debug_struct("KeyValue")
            .field("key", key)
            .field("value", &if value.is_empty() { "" } else { "[redacted]" })
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_do_not_print() {
        let auth = AuthConfig {
            username: "robot".to_owned(),
            password: "s3cret-a".to_owned(),
            auth: "s3cret-b".to_owned(),
            server_address: "registry.example".to_owned(),
            identity_token: "s3cret-c".to_owned(),
            registry_token: "s3cret-d".to_owned(),
        };
        let printed = format!("{auth:?}");
        assert!(!printed.contains("s3cret"), "{printed}");
        assert_eq!(printed.matches("[redacted]").count(), 4, "{printed}");
        assert!(printed.contains("robot"), "{printed}");
    }

    #[test]
    fn environment_values_do_not_print() {
        let pair = KeyValue { key: "DB_PASSWORD".to_owned(), value: b"s3cret".to_vec() };
        let printed = format!("{pair:?}");
        assert!(!printed.contains("s3cret"), "{printed}");
        assert!(printed.contains("DB_PASSWORD"), "{printed}");
    }
}
