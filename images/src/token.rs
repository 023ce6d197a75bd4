//! The token protocol of registries, without the requests: what a challenge asks for, and what an answer gives.
//!
//! ```text
//!   GET /v2/ --`WWW-Authenticate: Bearer realm="URL",service="..."`--> GET URL?service=...&scope=... --> {"token": "..."}
//! ```
//!
//! A registry without such a challenge needs no token. The challenge decides where the caller's credential is sent, so
//! it may name no address at which the credential would travel in the clear, but for the host of a registry that the
//! operator speaks to in the clear anyway.

use http_auth::parse_challenges;
use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;

/// The largest answer of a token service, in bytes: a token has to fit into a header.
pub(crate) const LARGEST_ANSWER: u64 = 64 << 10;

/// A registry's wish for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    service: Option<String>,
}

impl Challenge {
    /// The first one for a token in an answer's headers.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        texts.filter_map(|text| parse_challenges(text).ok()).flatten().find_map(|challenge| {
            if !challenge.scheme.eq_ignore_ascii_case("bearer") {
                return None;
            }
            let param = |wanted: &str| {
                let found = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.to_unescaped())
            };
            Some(Self { realm: param("realm")?, service: param("service") })
        })
    }

    /// Where to ask for a token to pull from a repository. `plain` is the registry's host where it is spoken to by
    /// plain HTTP.
    pub(crate) fn url(&self, repository: &str, plain: Option<&str>) -> Result<Url, String> {
        let shown = || self.realm.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        let mut url =
            Url::parse(&self.realm).map_err(|error| format!("{:?} is no address: {error}", shown()))?;
        let same_host = |registry: &str| {
            let registry = Url::parse(&format!("http://{registry}"));
            registry.is_ok_and(|registry| registry.host().is_some() && registry.host() == url.host())
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && plain.is_some_and(same_host)) {
            return Err(format!(
                "{:?} would show the credential to everyone on the way; it needs https",
                shown()
            ));
        }
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("scope", &format!("repository:{repository}:pull"));
            if let Some(service) = &self.service {
                query.append_pair("service", service);
            }
        }
        Ok(url)
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The token of an answer, if it has one that can be sent in a header.
pub(crate) fn read(answer: &[u8]) -> Option<String> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token)?;
    (!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(text: &str) -> Option<Challenge> {
        Challenge::read(&HeaderMap::from_iter([(WWW_AUTHENTICATE, text.parse().unwrap())]))
    }

    #[test]
    fn challenges_for_a_token_and_no_others() {
        let text = r#"Basic realm="x", bearer Realm="https://a.example/token?a=b",service="the \"one\"",scope="s,t""#;
        let found = challenge(text).unwrap();
        let url = found.url("legacy/app", None).unwrap();
        assert_eq!(
            url.as_str(),
            "https://a.example/token?a=b&scope=repository%3Alegacy%2Fapp%3Apull&service=the+%22one%22"
        );
        for none in [r#"Basic realm="x""#, r#"Bearer service="x""#, "Bearer realm=\"unfinished", ""] {
            assert_eq!(challenge(none), None, "{none}");
        }
    }

    #[test]
    fn a_credential_is_sent_in_the_clear_to_the_host_of_a_plain_registry_alone() {
        for (realm, plain, allowed) in [
            ("https://auth.example/token", None, true),
            ("https://auth.example/token", Some("r.example:5000"), true),
            ("http://r.example:5001/token", Some("r.example:5000"), true),
            ("http://[::1]:5001/token", Some("[::1]:5000"), true),
            ("http://r.example/token", None, false),
            ("http://auth.example/token", Some("r.example"), false),
            ("http://r.example@auth.example/token", Some("r.example"), false),
            ("ftp://r.example/token", Some("r.example"), false),
            ("file:///etc/passwd", Some("r.example"), false),
            ("/token", Some("r.example"), false),
        ] {
            let challenge = Challenge { realm: realm.to_owned(), service: None };
            assert_eq!(challenge.url("a", plain).is_ok(), allowed, "{realm} {plain:?}");
        }
    }

    #[test]
    fn tokens_of_answers() {
        for (answer, token) in [
            (r#"{"token":"t0"}"#, Some("t0")),
            (r#"{"access_token":"t1","expires_in":60}"#, Some("t1")),
            (r#"{"token":"","access_token":"t1"}"#, Some("t1")),
            (r#"{"token":"a b"}"#, None),
            (r#"{"token":"a\r\nb"}"#, None),
            (r#"{"token":""}"#, None),
            ("{}", None),
            ("<html>", None),
        ] {
            assert_eq!(read(answer.as_bytes()).as_deref(), token, "{answer}");
        }
    }
}
