//! Images.

use base64::Engine;
use images::RegistryAuth;
use proto::runtime::v1::{AuthConfig, Image, ImageSpec, Int64Value};

use super::{named, required};
use crate::error::{Error, Result};

/// The name in an image specification.
pub fn name(spec: Option<ImageSpec>) -> Result<String> {
    named(required(spec, "image")?.image, "image.image")
}

/// The credential for a registry.
pub fn auth(auth: Option<AuthConfig>) -> Result<RegistryAuth> {
    let AuthConfig {
        username,
        password,
        auth,
        server_address: _, // the kubelet has matched it with the image already
        identity_token,
        registry_token,
    } = auth.unwrap_or_default();
    if !registry_token.is_empty() {
        return Ok(RegistryAuth::Bearer(registry_token));
    }
    if !identity_token.is_empty() {
        return Err(Error::invalid(
            "the image's pull secret is an identity token, which is not supported; use a user name and password",
        ));
    }
    if !username.is_empty() {
        return Ok(RegistryAuth::Basic { username, password });
    }
    if auth.is_empty() {
        return Ok(RegistryAuth::Anonymous);
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(auth.trim()).ok();
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match pair.as_deref().and_then(|pair| pair.trim_end_matches('\0').split_once(':')) {
        Some((username, password)) => {
            Ok(RegistryAuth::Basic { username: username.to_owned(), password: password.to_owned() })
        }
        None => Err(Error::invalid("the pull secret's `auth` is not the base64 of user:password")),
    }
}

/// An image as lists show it.
pub fn message(image: &images::Image) -> Image {
    let (uid, username) =
        match image.config_user.as_deref().map(|user| user.split(':').next().unwrap_or(user)) {
            None | Some("") => (None, String::new()),
            Some(user) => match user.parse() {
                Ok(value) => (Some(Int64Value { value }), String::new()),
                Err(_) => (None, user.to_owned()),
            },
        };
    Image {
        id: image.id.clone(),
        repo_tags: image.tags.clone(),
        repo_digests: image.digests.clone(),
        size: image.size_bytes,
        uid,
        username,
        spec: Some(ImageSpec { image: image.id.clone(), ..ImageSpec::default() }),
        pinned: image.pinned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_in_three_forms() {
        let with = |change: fn(&mut AuthConfig)| {
            let mut config = AuthConfig::default();
            change(&mut config);
            auth(Some(config))
        };
        assert!(matches!(auth(None), Ok(RegistryAuth::Anonymous)));
        assert!(matches!(with(|c| c.registry_token = "t".into()), Ok(RegistryAuth::Bearer(_))));
        let basic = RegistryAuth::Basic { username: "u".into(), password: "p:q".into() };
        assert!(matches!(with(|c| c.auth = "dTpwOnE=".into()), Ok(found) if found == basic));
        assert!(with(|c| c.auth = "???".into()).unwrap_err().to_string().contains("base64"));
        assert!(with(|c| c.identity_token = "t".into()).unwrap_err().to_string().contains("identity token"));
    }
}
