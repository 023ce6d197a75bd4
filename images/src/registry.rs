//! One registry as one caller sees it: manifests and blobs, bounded, with the caller's credential.
//!
//! Whoever answers is hostile: a manifest and a token are cut at their limits, a blob says where it begins, and a
//! credential leaves the node encrypted unless the operator has listed the registry's host.

use std::path::Path;
use std::time::Duration;

use oci_spec::distribution::Reference;
use reqwest::header::{ACCEPT, CONTENT_RANGE, RANGE};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::manifest::{self, LARGEST_MANIFEST};
use crate::token::{self, Challenge};
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
    /// As `http`, but never redirected: it shows the caller's credential.
    tokens: reqwest::Client,
    reference: Reference,
    /// `https://HOST/v2/`.
    root: String,
    plain: bool,
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
        let mut extra = Vec::new();
        for pem in &certificates {
            extra.extend(reqwest::Certificate::from_pem_bundle(pem).map_err(|e| unusable(e.into()))?);
        }
        let client = |redirect| {
            reqwest::Client::builder()
                .user_agent(concat!("infranetes/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_DEADLINE)
                .read_timeout(SILENCE)
                .redirect(redirect)
                .https_only(!plain)
                .tls_certs_merge(extra.clone())
                .build()
                .map_err(|e| unusable(e.into()))
        };
        let scheme = if plain { "http" } else { "https" };
        Ok(Self {
            http: client(Policy::limited(5))?,
            tokens: client(Policy::none())?,
            root: format!("{scheme}://{host}/v2/"),
            plain,
            reference,
            auth: auth.clone(),
            token: Mutex::new(None),
        })
    }

    /// Fetches a manifest or index, by the reference's own tag or digest, or by `digest`.
    pub(crate) async fn manifest(&self, digest: Option<&str>) -> Result<Document> {
        let wanted = digest.or(self.reference.digest());
        let target = wanted.or(self.reference.tag()).unwrap_or("latest");
        let url = self.url("manifests", target);
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
        let url = self.url("blobs", digest);
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

    /// The host, as the registries of the operator are listed, or behind a well-known name.
    pub(crate) fn host(&self) -> &str {
        self.reference.resolve_registry()
    }

    fn url(&self, kind: &str, what: &str) -> String {
        format!("{}{}/{kind}/{what}", self.root, self.reference.repository())
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
            let granted = match &self.auth {
                RegistryAuth::Bearer(token) => Some(token.clone()),
                _ => within(DOCUMENT_DEADLINE, &format!("a token for {what}"), self.grant(what)).await?,
            };
            *token = Some(granted.unwrap_or_default());
        }
        Ok(match (token.as_deref(), &self.auth) {
            (Some(bearer), _) if !bearer.is_empty() => request.bearer_auth(bearer),
            (_, RegistryAuth::Basic { username, password }) => request.basic_auth(username, Some(password)),
            _ => request,
        })
    }

    /// Asks the token service that the registry names; none where it names none.
    async fn grant(&self, what: &str) -> Result<Option<String>> {
        let asked = self.http.get(&self.root).send().await.map_err(|error| self.unreachable(what, error))?;
        let Some(challenge) = Challenge::read(asked.headers()) else { return Ok(None) };
        let plain = self.plain.then(|| self.host());
        let url = challenge.url(self.reference.repository(), plain).map_err(|why| {
            Error::Refused(format!("the registry does not give {what}: its token service at {why}"))
        })?;
        let mut request = self.tokens.get(url);
        if let RegistryAuth::Basic { username, password } = &self.auth {
            request = request.basic_auth(username, Some(password));
        }
        let what_token = format!("a token for {what}");
        let answer = request.send().await.map_err(|error| self.unreachable(&what_token, error))?;
        match answer.status() {
            StatusCode::OK => {
                let text = self.bounded(answer, token::LARGEST_ANSWER, &what_token).await?;
                let token = token::read(&text);
                token.map(Some).ok_or_else(|| {
                    Error::Refused(format!("the token service of {} gave no token for {what}", self.host()))
                })
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.denied(what, "its token service refuses the credential"))
            }
            status if passing(status) => Err(Error::failed(
                format!("the token service cannot give {what_token} now"),
                status.to_string(),
            )),
            status => Err(Error::Refused(format!("the token service does not give {what_token}: {status}"))),
        }
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
            status if passing(status) => {
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
        Error::failed(
            format!("cannot get {what} from {}: {}", self.host(), chain(&error)),
            error.without_url(),
        )
    }
}

/// Whether the same request may succeed later.
fn passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
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

fn sha256(text: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}
