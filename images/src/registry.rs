//! One registry as one caller sees it: manifests and blobs, bounded, with the caller's credential.
//!
//! `oci-client` does the authentication (the challenge of `/v2/` and the token service). The requests themselves are
//! made here, because their answers must be bounded: a manifest is cut at its limit, a blob says where it begins.

use std::path::Path;
use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::{Reference, RegistryOperation};
use reqwest::header::{ACCEPT, CONTENT_RANGE, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::manifest::{self, LARGEST_MANIFEST};
use crate::{Error, Registries, RegistryAuth, Result, tls};

const CONNECT_DEADLINE: Duration = Duration::from_secs(20);

/// How long a registry may be silent within an answer.
const SILENCE: Duration = Duration::from_secs(60);

/// How long a small document or a token may take altogether.
const DOCUMENT_DEADLINE: Duration = Duration::from_secs(60);

/// The most of an error's text that is read, in bytes.
const LARGEST_COMPLAINT: u64 = 8 << 10;

/// A registry, a repository in it, and a credential.
pub(crate) struct Registry {
    http: reqwest::Client,
    oci: oci_client::Client,
    reference: Reference,
    /// `https://HOST/v2/REPOSITORY`.
    base: String,
    auth: RegistryAuth,
    token: Mutex<Option<String>>,
}

/// A manifest with the digest of its very bytes.
pub(crate) struct Document {
    pub(crate) text: Vec<u8>,
    pub(crate) digest: String,
}

/// A blob's bytes from an offset on.
pub(crate) struct BlobBody {
    pub(crate) offset: u64,
    pub(crate) response: Response,
}

impl Registry {
    /// Prepares the clients; nothing is sent yet.
    pub(crate) async fn new(
        reference: Reference,
        auth: &RegistryAuth,
        registries: &Registries,
    ) -> Result<Self> {
        tls::install();
        let host = reference.resolve_registry().to_owned();
        let plain =
            registries.plain_http.iter().any(|listed| *listed == host || listed == reference.registry());
        let mut certificates = Vec::new();
        for path in &registries.ca_files {
            certificates.push(read_certificates(path).await?);
        }
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::failed(
                "cannot prepare TLS; install ca-certificates, or check the CA files of the registries",
                source,
            )
        };
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("infranetes/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_DEADLINE)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::limited(5))
            .https_only(!plain);
        let mut extra = Vec::new();
        for pem in &certificates {
            extra.extend(reqwest::Certificate::from_pem_bundle(pem).map_err(|e| unusable(e.into()))?);
        }
        http = http.tls_certs_merge(extra);
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates: certificates
                .iter()
                .flat_map(|pem| split_pem(pem))
                .map(|data| Certificate { encoding: CertificateEncoding::Pem, data })
                .collect(),
            connect_timeout: Some(CONNECT_DEADLINE),
            read_timeout: Some(SILENCE),
            ..ClientConfig::default()
        };
        let scheme = if plain { "http" } else { "https" };
        Ok(Self {
            http: http.build().map_err(|e| unusable(e.into()))?,
            oci: oci_client::Client::try_from(config).map_err(|e| unusable(e.into()))?,
            base: format!("{scheme}://{host}/v2/{}", reference.repository()),
            reference,
            auth: auth.clone(),
            token: Mutex::new(None),
        })
    }

    /// Fetches a manifest or index, by the reference's own tag or digest, or by `digest`.
    pub(crate) async fn manifest(&self, digest: Option<&str>) -> Result<Document> {
        let wanted = digest.or(self.reference.digest());
        let target = wanted.or(self.reference.tag()).unwrap_or("latest");
        let url = format!("{}/manifests/{target}", self.base);
        let what = format!("the manifest of {}", self.reference);
        let fetch = async {
            let response = self.send(&what, || self.http.get(&url).header(ACCEPT, manifest::ACCEPT)).await?;
            let response = self.accepted(response, &what).await?;
            self.bounded(response, LARGEST_MANIFEST, &what).await
        };
        let text = within(DOCUMENT_DEADLINE, &what, fetch).await?;
        let found = sha256(&text);
        match wanted {
            Some(wanted) if wanted != found => Err(Error::Refused(format!(
                "the registry gave a manifest with the digest {found} for {wanted} of {}; it is damaged or forged",
                self.reference
            ))),
            _ => Ok(Document { text, digest: found }),
        }
    }

    /// Fetches a small blob whole and verifies it.
    pub(crate) async fn document(&self, digest: &str, size: u64, what: &str) -> Result<Vec<u8>> {
        let fetch = async {
            let body = self.blob(digest, 0).await?;
            self.bounded(body.response, size, what).await
        };
        let text = within(DOCUMENT_DEADLINE, what, fetch).await?;
        let found = sha256(&text);
        if found != digest {
            return Err(Error::Refused(format!(
                "{what} has the digest {found} instead of {digest}; it is damaged or forged"
            )));
        }
        Ok(text)
    }

    /// Asks for a blob from an offset on. The answer may begin at 0 all the same.
    pub(crate) async fn blob(&self, digest: &str, offset: u64) -> Result<BlobBody> {
        let url = format!("{}/blobs/{digest}", self.base);
        let what = format!("the blob {digest} of {}", self.reference);
        let request = || {
            let request = self.http.get(&url);
            if offset > 0 { request.header(RANGE, format!("bytes={offset}-")) } else { request }
        };
        let mut response = self.send(&what, request).await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            response = self.send(&what, || self.http.get(&url)).await?;
        }
        let response = self.accepted(response, &what).await?;
        let begins =
            if response.status() == StatusCode::PARTIAL_CONTENT { range_start(&response) } else { Some(0) };
        match begins {
            Some(start) if start == offset || start == 0 => Ok(BlobBody { offset: start, response }),
            _ => {
                let response = self.send(&what, || self.http.get(&url)).await?;
                let response = self.accepted(response, &what).await?;
                Ok(BlobBody { offset: 0, response })
            }
        }
    }

    /// Sends with the credential; once more with a fresh token where the old one has run out.
    async fn send(&self, what: &str, request: impl Fn() -> RequestBuilder) -> Result<Response> {
        for fresh in [false, true] {
            let request = self.authorize(request(), fresh, what).await?;
            let response = request.send().await.map_err(|error| self.unreachable(what, error))?;
            if response.status() != StatusCode::UNAUTHORIZED || fresh {
                return Ok(response);
            }
        }
        Err(self.denied(what, ""))
    }

    async fn authorize(&self, request: RequestBuilder, fresh: bool, what: &str) -> Result<RequestBuilder> {
        let mut token = self.token.lock().await;
        if token.is_none() || fresh {
            let auth = match &self.auth {
                RegistryAuth::Anonymous => oci_client::secrets::RegistryAuth::Anonymous,
                RegistryAuth::Basic { username, password } => {
                    oci_client::secrets::RegistryAuth::Basic(username.clone(), password.clone())
                }
                RegistryAuth::Bearer(token) => oci_client::secrets::RegistryAuth::Bearer(token.clone()),
            };
            let ask = self.oci.auth(&self.reference, &auth, RegistryOperation::Pull);
            let asked = tokio::time::timeout(DOCUMENT_DEADLINE, ask).await;
            *token = Some(match asked {
                Ok(Ok(granted)) => granted.unwrap_or_default(),
                Ok(Err(oci_client::errors::OciDistributionError::RequestError(error))) => {
                    return Err(self.unreachable(what, error));
                }
                Ok(Err(_)) => return Err(self.denied(what, "its token service refuses the credential")),
                Err(elapsed) => return Err(Error::failed(format!("cannot get a token for {what}"), elapsed)),
            });
        }
        Ok(match (token.as_deref(), &self.auth) {
            (Some(bearer), _) if !bearer.is_empty() => request.bearer_auth(bearer),
            (_, RegistryAuth::Basic { username, password }) => request.basic_auth(username, Some(password)),
            _ => request,
        })
    }

    /// Turns a refusal of the registry into our words.
    async fn accepted(&self, response: Response, what: &str) -> Result<Response> {
        let status = response.status();
        if status == StatusCode::OK || status == StatusCode::PARTIAL_CONTENT {
            return Ok(response);
        }
        let body = self.bounded(response, LARGEST_COMPLAINT, what).await.unwrap_or_default();
        let complaint = complaint(&body);
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.denied(what, &complaint),
            StatusCode::NOT_FOUND => {
                Error::NotFound(format!("{} (the registry does not have it)", self.reference))
            }
            status
                if status.is_server_error()
                    || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) =>
            {
                Error::failed(format!("the registry cannot give {what} now"), format!("{status} {complaint}"))
            }
            status => Error::Refused(format!("the registry does not give {what}: {status} {complaint}")),
        })
    }

    /// Reads an answer up to a limit in bytes.
    async fn bounded(&self, mut response: Response, limit: u64, what: &str) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(what, error))? {
            if text.len() as u64 + chunk.len() as u64 > limit {
                return Err(Error::Refused(format!("{what} is longer than {limit} bytes")));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    fn denied(&self, what: &str, complaint: &str) -> Error {
        let with = match &self.auth {
            RegistryAuth::Anonymous => "without a credential; give the pod an imagePullSecret",
            RegistryAuth::Basic { .. } | RegistryAuth::Bearer(_) => {
                "with this credential; check the imagePullSecret"
            }
        };
        let complaint = if complaint.is_empty() { String::new() } else { format!(" ({complaint})") };
        Error::Denied(format!("the registry does not give {what} {with}{complaint}"))
    }

    pub(crate) fn unreachable(&self, what: &str, error: reqwest::Error) -> Error {
        let host = self.reference.resolve_registry();
        Error::failed(format!("cannot get {what} from {host}: {}", chain(&error)), error.without_url())
    }
}

/// The causes in one line, for the outermost says little.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    if causes.is_empty() { "the answer was cut off or malformed".to_owned() } else { causes.join(": ") }
}

async fn within<T>(deadline: Duration, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(deadline, work).await {
        Ok(result) => result,
        Err(elapsed) => {
            Err(Error::failed(format!("{what} took longer than {} s", deadline.as_secs()), elapsed))
        }
    }
}

fn range_start(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// The messages of a registry's error document, or nothing.
fn complaint(body: &[u8]) -> String {
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(body) else { return String::new() };
    let errors = document.get("errors").and_then(|errors| errors.as_array()).cloned().unwrap_or_default();
    let messages: Vec<&str> = errors.iter().filter_map(|error| error.get("message")?.as_str()).collect();
    messages.join(", ").chars().filter(|c| !c.is_control()).take(200).collect()
}

async fn read_certificates(path: &Path) -> Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|source| {
        Error::failed(format!("cannot read the CA file {} of the registries", path.display()), source)
    })
}

/// The certificates of a PEM file, one by one.
fn split_pem(pem: &[u8]) -> Vec<Vec<u8>> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    text.split_inclusive(END).filter(|part| part.contains(END)).map(|part| part.as_bytes().to_vec()).collect()
}

fn sha256(text: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}
