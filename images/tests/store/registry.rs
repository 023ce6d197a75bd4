//! A real registry on loopback, with what it logs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::content::{Built, digest, run};

/// The one user of a registry that asks for a password: `pilot` with `s3cret`, by bcrypt.
pub(crate) const PASSWORD_FILE: &str = "pilot:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

const DEADLINE: Duration = Duration::from_secs(30);

/// How the registry is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Open,
    Password,
    Tls,
    /// By TLS, with a token service that is not.
    OpenToken,
}

pub(crate) struct Registry {
    _child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    directory: tempfile::TempDir,
    lines: watch::Receiver<Vec<String>>,
    client: reqwest::Client,
    access: Access,
}

impl Registry {
    pub(crate) async fn start(access: Access) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: false}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http:\n  addr: 127.0.0.1:0\n",
            at("data")
        );
        let tls = matches!(access, Access::Tls | Access::OpenToken);
        if tls {
            certificates(directory.path());
            let (certificate, key) = (at("server.pem"), at("server.key"));
            config.extend(["  tls: {certificate: ", &certificate, ", key: ", &key, "}\n"]);
        }
        if access == Access::OpenToken {
            let service = "realm: http://127.0.0.1:9/token, service: tests, issuer: tests";
            config.extend(["auth: {token: {", service, ", rootcertbundle: ", &at("ca.pem"), "}}\n"]);
        }
        if access == Access::Password {
            std::fs::write(at("htpasswd"), PASSWORD_FILE).unwrap();
            config.extend(["auth: {htpasswd: {realm: tests, path: ", &at("htpasswd"), "}}\n"]);
        }
        std::fs::write(at("config.yml"), config).unwrap();
        let mut child = Command::new("docker-registry")
            .args(["serve", &at("config.yml")])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot run docker-registry: {error}; install the package docker-registry")
            });
        let (send, mut lines) = watch::channel(Vec::new());
        follow(child.stdout.take().unwrap(), send.clone());
        follow(child.stderr.take().unwrap(), send);
        let host = tokio::time::timeout(DEADLINE, async {
            loop {
                let found = lines.borrow_and_update().iter().find_map(|line: &String| {
                    let rest = line.split_once("listening on ")?.1;
                    Some(rest.split(['"', ' ', ',']).next().unwrap().to_owned())
                });
                match found {
                    Some(host) => break host,
                    None => lines.changed().await.expect("the registry ended before it listened"),
                }
            }
        })
        .await
        .expect("the registry does not listen");
        let mut client = reqwest::Client::builder();
        if tls {
            let pem = std::fs::read(at("ca.pem")).unwrap();
            let authority = reqwest::Certificate::from_pem(&pem).unwrap();
            let _ = rustls::crypto::ring::default_provider().install_default();
            client = client.tls_certs_only([authority]);
        } else {
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Self { _child: child, host, directory, lines, client: client.build().unwrap(), access }
    }

    /// The certificate authority of a registry with TLS.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// How often a blob was given out, by the registry's own access log.
    pub(crate) fn downloads(&self, digest: &str) -> usize {
        let wanted = format!("/blobs/{digest} ");
        self.lines.borrow().iter().filter(|line| line.contains("\"GET ") && line.contains(&wanted)).count()
    }

    fn url(&self, rest: &str) -> String {
        let scheme = if matches!(self.access, Access::Tls | Access::OpenToken) { "https" } else { "http" };
        format!("{scheme}://{}/v2/{rest}", self.host)
    }

    fn with_password(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        if self.access == Access::Password { request.basic_auth("pilot", Some("s3cret")) } else { request }
    }

    pub(crate) async fn push_blob(&self, repository: &str, blob: &[u8]) {
        let post = self.client.post(self.url(&format!("{repository}/blobs/uploads/")));
        let begun = self.with_password(post).send().await.unwrap().error_for_status().unwrap();
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        let url = format!("{location}&digest={}", digest(blob));
        let put = self.client.put(url).header("content-type", "application/octet-stream").body(blob.to_vec());
        self.with_password(put).send().await.unwrap().error_for_status().unwrap();
    }

    pub(crate) async fn push_manifest(&self, repository: &str, tag: &str, media_type: &str, text: Vec<u8>) {
        let put = self.client.put(self.url(&format!("{repository}/manifests/{tag}")));
        let put = put.header("content-type", media_type).body(text);
        let answer = self.with_password(put).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    }

    /// Pushes an image and returns its reference.
    pub(crate) async fn push(&self, repository: &str, tag: &str, image: &Built) -> String {
        for layer in &image.layers {
            self.push_blob(repository, &layer.blob).await;
        }
        self.push_blob(repository, &image.config()).await;
        self.push_manifest(repository, tag, "application/vnd.oci.image.manifest.v1+json", image.manifest())
            .await;
        format!("{}/{repository}:{tag}", self.host)
    }
}

fn follow(stream: impl AsyncRead + Unpin + Send + 'static, send: watch::Sender<Vec<String>>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            send.send_modify(|seen| seen.push(line));
        }
    });
}

/// A throwaway authority and a certificate for loopback.
fn certificates(directory: &Path) {
    let at = |name: &str| directory.join(name).display().to_string();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let mut authority = vec!["req", "-x509"];
    authority.extend(key);
    let (ca_key, ca, server_key, request, server) =
        (at("ca.key"), at("ca.pem"), at("server.key"), at("server.csr"), at("server.pem"));
    authority.extend(["-keyout", &ca_key, "-out", &ca, "-days", "2", "-subj", "/CN=tests"]);
    run("openssl", &authority);
    let mut asked = vec!["req"];
    asked.extend(key);
    asked.extend(["-keyout", &server_key, "-out", &request, "-subj", "/CN=127.0.0.1"]);
    run("openssl", &asked);
    std::fs::write(at("extensions"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let extensions = at("extensions");
    run(
        "openssl",
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-out",
            &server,
            "-days",
            "2",
            "-extfile",
            &extensions,
        ],
    );
}
