//! The three calls of Consul's agent API that are needed (<https://developer.hashicorp.com/consul/api-docs/agent/service>).

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::Instance;
use super::config::Endpoint;
use super::http::{Answer, Bounds, Http, HttpError};
use crate::model::{AttachmentId, Record};

/// The longest token, in octets. Consul's own are UUIDs.
const LONGEST_TOKEN: u64 = 4096;

/// The longest value of a service's meta data, in characters (Consul refuses longer ones).
const LONGEST_META: usize = 512;

/// How much of Consul's own words goes into an error, in characters.
const LONGEST_WORDS: usize = 200;

/// A service as we register it. It has no checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    address: String,
    port: u16,
    tags: Vec<String>,
    meta: BTreeMap<&'static str, String>,
    /// Off, so that nobody else's edit of the tags stands.
    enable_tag_override: bool,
}

impl Service {
    /// The service of a record.
    pub fn new(id: String, record: &Record, tags: Vec<String>) -> Self {
        let short = |text: &str| text.chars().take(LONGEST_META).collect();
        let meta = [
            ("v6pod-uid", record.uid.to_string()),
            ("v6pod-container", short(&record.container_id)),
            ("v6pod-network", short(&record.network)),
        ];
        Self {
            id,
            name: record.name.as_str().to_owned(),
            address: record.address.to_string(),
            port: 0,
            tags,
            meta: meta.into(),
            enable_tag_override: false,
        }
    }
}

/// A service as the agent lists it. What is missing, or `null`, is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Listed {
    service: Option<String>,
    address: Option<String>,
    port: Option<u16>,
    tags: Option<Vec<String>>,
    meta: Option<BTreeMap<String, String>>,
}

impl Listed {
    /// Its name, as anybody may have written it.
    pub fn name(&self) -> &str {
        self.service.as_deref().unwrap_or_default()
    }

    /// Whether this is what we register.
    pub fn is(&self, wanted: &Service) -> bool {
        let meta = self.meta.iter().flatten().map(|(key, value)| (key.as_str(), value));
        self.service.as_ref() == Some(&wanted.name)
            && self.address.as_ref() == Some(&wanted.address)
            && self.port.unwrap_or(0) == wanted.port
            && self.tags.as_deref().unwrap_or_default() == wanted.tags
            && meta.eq(wanted.meta.iter().map(|(key, value)| (*key, value)))
    }
}

/// Why a call did not work.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The token's file.
    #[error("cannot read the token in {path:?}: {source}")]
    TokenFile {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The token.
    #[error("{0:?} does not hold a token: one line of printable characters")]
    Token(PathBuf),
    /// An answer that says no.
    #[error("HTTP status {status}: {words:?}")]
    Status {
        /// The code.
        status: u16,
        /// Consul's words, or some of them.
        words: String,
    },
    /// Our own request.
    #[error("cannot write the service as JSON: {0}")]
    Write(serde_json::Error),
    /// The list.
    #[error("cannot read the list of services: {0}")]
    List(serde_json::Error),
}

/// The agent.
#[derive(Debug)]
pub struct Agent {
    http: Http,
    token_file: Option<PathBuf>,
    instance: Instance,
}

impl Agent {
    /// The agent at this endpoint, as far as services of this instance go.
    pub fn new(
        endpoint: Endpoint,
        ca_file: Option<PathBuf>,
        token_file: Option<PathBuf>,
        instance: Instance,
    ) -> Self {
        Self { http: Http::new(endpoint, ca_file, Bounds::default()), token_file, instance }
    }

    /// The services of this instance. One that cannot be read counts as different from whatever is wanted.
    pub async fn list(&self) -> Result<HashMap<AttachmentId, Listed>, AgentError> {
        let answer = self.call(Method::GET, "/v1/agent/services", Vec::new()).await?;
        read_list(&accept(answer)?.body, self.instance).map_err(AgentError::List)
    }

    /// Registers a service, or replaces it, together with whatever checks somebody gave it.
    pub async fn register(&self, service: &Service) -> Result<(), AgentError> {
        let body = serde_json::to_vec(service).map_err(AgentError::Write)?;
        let path = "/v1/agent/service/register?replace-existing-checks=true";
        accept(self.call(Method::PUT, path, body).await?).map(drop)
    }

    /// Deregisters a service. One that is not there is fine.
    pub async fn deregister(&self, id: AttachmentId) -> Result<(), AgentError> {
        let path = format!("/v1/agent/service/deregister/{}", self.instance.service_id(id));
        let answer = self.call(Method::PUT, &path, Vec::new()).await?;
        // Consul answers 404 since 1.11, before that 500 with these words.
        let unknown = answer.status == StatusCode::NOT_FOUND
            || (answer.status == StatusCode::INTERNAL_SERVER_ERROR
                && answer.body.starts_with(b"Unknown service"));
        if unknown { Ok(()) } else { accept(answer).map(drop) }
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, AgentError> {
        Ok(self.http.send(method, path, self.token()?, body).await?)
    }

    /// The token, read each time: it may be rotated, and the file is tiny.
    fn token(&self) -> Result<Option<HeaderValue>, AgentError> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST_TOKEN).read_to_string(&mut text))
            .map_err(|source| AgentError::TokenFile { path: path.clone(), source })?;
        let text = text.trim();
        let mut token = HeaderValue::from_str(text).map_err(|_| AgentError::Token(path.clone()))?;
        if text.is_empty() {
            return Err(AgentError::Token(path.clone()));
        }
        // Keeps it out of Debug output.
        token.set_sensitive(true);
        Ok(Some(token))
    }
}

/// The services of an instance in the agent's answer.
pub fn read_list(
    body: &[u8],
    instance: Instance,
) -> Result<HashMap<AttachmentId, Listed>, serde_json::Error> {
    let all: HashMap<String, serde_json::Value> = serde_json::from_slice(body)?;
    let ours = all.into_iter().filter_map(|(service_id, value)| {
        let id = instance.attachment(&service_id)?;
        Some((id, serde_json::from_value(value).unwrap_or_default()))
    });
    Ok(ours.collect())
}

fn accept(answer: Answer) -> Result<Answer, AgentError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let words = String::from_utf8_lossy(&answer.body).trim().chars().take(LONGEST_WORDS).collect();
    Err(AgentError::Status { status: answer.status.as_u16(), words })
}
