//! Registries that ask for a token of a token service.

use images::{Error, Registries, RegistryAuth};

use super::content::{Built, Packing, raw_disk};
use super::proxy::{Fault, Proxy, Request};
use super::registry::{Access, Registry};
use super::{Scratch, plain};

/// `pilot:s3cret`.
const BASIC: &str = "Basic cGlsb3Q6czNjcmV0";

/// The token that lets a pull through.
const TOKEN: &str = "t0ken.of-the_tests";

fn answer(status: &str, header: &str, body: &str) -> Fault {
    let length = body.len();
    Fault::Answer(format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{header}\r\n{body}"
    ))
}

/// A registry behind a gate that asks for a token of `realm` (`HOST` is the gate's own address), where `service`
/// answers those who come for one.
async fn behind(
    realm: &'static str,
    service: impl Fn(&Request) -> Fault + Send + Sync + 'static,
) -> (Registry, Proxy, String) {
    let registry = Registry::start(Access::Open).await;
    registry.push("private/app", "1", &Built::of("disk/a.raw", &raw_disk(1 << 20, 2), Packing::Gzip)).await;
    let gate = Proxy::start(&registry.host, move |request, _| {
        if request.path.starts_with("/token") {
            service(request)
        } else if request.authorization.as_deref() == Some(&format!("Bearer {TOKEN}")) {
            Fault::None
        } else {
            let realm = realm.replace("HOST", &request.host);
            let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"tests\"\r\n");
            answer("401 Unauthorized", &header, "{}")
        }
    })
    .await;
    let reference = format!("{}/private/app:1", gate.host);
    (registry, gate, reference)
}

fn granting(request: &Request) -> Fault {
    match request.authorization.as_deref() {
        Some(BASIC) => answer("200 OK", "", &format!("{{\"token\":\"{TOKEN}\"}}")),
        _ => answer("401 Unauthorized", "", "{}"),
    }
}

fn pilot(password: &str) -> RegistryAuth {
    RegistryAuth::Basic { username: "pilot".into(), password: password.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_credential_is_for_the_token_service_and_the_token_for_the_registry() {
    let (_registry, gate, reference) = behind("http://HOST/token?from=here", granting).await;
    let scratch = Scratch::new().await;
    scratch.store.pull(&reference, &pilot("s3cret"), &plain(&gate.host)).await.unwrap();
    let asked = gate.requests("/token");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?from=here&scope=repository%3Aprivate%2Fapp%3Apull&service=tests");
    for request in gate.requests("/v2/") {
        assert_ne!(request.authorization.as_deref(), Some(BASIC), "{}", request.path);
    }
    let bearer = RegistryAuth::Bearer(TOKEN.into());
    scratch.store.pull(&reference, &bearer, &plain(&gate.host)).await.unwrap();
    assert_eq!(gate.requests("/token").len(), 1, "who has a token needs none");
    for auth in [RegistryAuth::Anonymous, pilot("wr0ng"), RegistryAuth::Bearer("wr0ng".into())] {
        let error = scratch.store.pull(&reference, &auth, &plain(&gate.host)).await.unwrap_err();
        assert!(matches!(error, Error::Denied(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("wr0ng"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_services_that_fail_answer_nonsense_or_lead_elsewhere() {
    let scratch = Scratch::new().await;
    let endless = format!("{{\"token\":\"{}\"}}", "x".repeat(1 << 20));
    for (case, service, retryable, part) in [
        ("down", answer("503 Service Unavailable", "", "{}"), true, "token service cannot give a token"),
        ("busy", answer("429 Too Many Requests", "", "{}"), true, "token service cannot give a token"),
        ("endless", answer("200 OK", "", &endless), false, "longer than 65536 bytes"),
        ("empty", answer("200 OK", "", "{}"), false, "gave no token"),
        ("absent", answer("404 Not Found", "", "{}"), false, "404 Not Found"),
        ("moved", answer("302 Found", "Location: http://127.0.0.1:9/\r\n", ""), false, "302 Found"),
    ] {
        let (_registry, gate, reference) = behind("http://HOST/token", move |_| service.clone()).await;
        let pulled = scratch.store.pull(&reference, &pilot("s3cret"), &plain(&gate.host)).await;
        let error = pulled.expect_err(case);
        assert!(!matches!(error, Error::Denied(_)), "{case}: {error:?}");
        assert_eq!(error.retryable(), retryable, "{case}: {error:?}");
        assert!(error.to_string().contains(part), "{case}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_not_shown_in_the_clear() {
    let scratch = Scratch::new().await;
    let refused = |error: Error| {
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
        assert!(error.to_string().contains("it needs https"), "{error}");
    };
    // The registry is listed, the host of its token service is not the same.
    let (_registry, gate, reference) = behind("http://localhost:9/token", granting).await;
    refused(scratch.store.pull(&reference, &pilot("s3cret"), &plain(&gate.host)).await.unwrap_err());
    // The registry speaks TLS, its token service does not.
    let registry = Registry::start(Access::OpenToken).await;
    let trusted = Registries { plain_http: Vec::new(), ca_files: vec![registry.ca_file()] };
    let reference = format!("{}/private/app:1", registry.host);
    refused(scratch.store.pull(&reference, &pilot("s3cret"), &trusted).await.unwrap_err());
}
