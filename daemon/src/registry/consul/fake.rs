//! A Consul agent for tests, as far as it is used, which can be told to misbehave.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

/// What the agent does instead of its work.
#[derive(Clone, Debug, Default)]
pub enum Mood {
    #[default]
    Fine,
    /// Answers 500 to everything.
    Failing,
    /// Refuses to register this name.
    Refusing(&'static str),
    /// Takes requests and says nothing.
    Hanging,
    /// Hangs up at once.
    Resetting,
    /// Does what it is asked to, and hangs up without a word.
    Mute,
    /// Lists something else.
    Garbage(&'static [u8]),
    /// Takes its time over each registration, then does it.
    Slow(Duration),
}

/// What the agent has and what it was asked.
#[derive(Debug, Default)]
pub struct Memory {
    pub services: BTreeMap<String, Value>,
    pub requests: Vec<String>,
    pub tokens: Vec<Option<String>>,
    pub mood: Mood,
}

/// The agent; gone when dropped.
pub struct Fake {
    pub memory: Arc<Mutex<Memory>>,
    _task: JoinSet<()>,
}

impl Fake {
    /// On a free port.
    pub async fn tcp() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Self::on(listener, Arc::default()), address)
    }

    /// On this listener, with this memory.
    pub fn on(listener: TcpListener, memory: Arc<Mutex<Memory>>) -> Self {
        let mut task = JoinSet::new();
        let shared = Arc::clone(&memory);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { memory, _task: task }
    }

    /// On a unix socket.
    pub fn unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let memory = Arc::<Mutex<Memory>>::default();
        let mut task = JoinSet::new();
        let shared = Arc::clone(&memory);
        task.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { memory, _task: task }
    }

    pub fn set(&self, mood: Mood) {
        self.memory.lock().unwrap().mood = mood;
    }

    /// The names registered.
    pub fn names(&self) -> Vec<String> {
        let memory = self.memory.lock().unwrap();
        memory.services.values().map(|service| service["Service"].as_str().unwrap().to_owned()).collect()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, memory: Arc<Mutex<Memory>>) {
    let mood = memory.lock().unwrap().mood.clone();
    match mood {
        Mood::Hanging => std::future::pending().await,
        Mood::Resetting => drop(stream.shutdown().await),
        _ => {
            let service = service_fn(|request| answer(request, Arc::clone(&memory)));
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        }
    }
}

async fn answer(request: Request<Incoming>, memory: Arc<Mutex<Memory>>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mood = memory.lock().unwrap().mood.clone();
    if let (Mood::Slow(pause), true) = (&mood, head.uri.path().ends_with("/register")) {
        tokio::time::sleep(*pause).await;
    }
    let (status, body) = act(&mut memory.lock().unwrap(), &head, &body, &mood);
    if let (Mood::Mute, true) = (&mood, head.uri.path().contains("register")) {
        return Err(io::Error::other("no answer"));
    }
    Ok(Response::builder().status(status).body(Full::new(body)).unwrap())
}

fn act(memory: &mut Memory, head: &hyper::http::request::Parts, body: &[u8], mood: &Mood) -> (u16, Bytes) {
    memory.requests.push(format!("{} {}", head.method, head.uri));
    memory.tokens.push(head.headers.get("x-consul-token").map(|token| token.to_str().unwrap().to_owned()));
    if let Mood::Failing = mood {
        return (500, Bytes::from_static(b"No cluster leader\n\x1b[31m"));
    }
    let path = head.uri.path();
    if path == "/v1/agent/services" {
        let list = match mood {
            Mood::Garbage(garbage) => Bytes::from_static(garbage),
            _ => serde_json::to_vec(&memory.services).unwrap().into(),
        };
        return (200, list);
    }
    if let Some(id) = path.strip_prefix("/v1/agent/service/deregister/") {
        return match memory.services.remove(id) {
            Some(_) => (200, Bytes::new()),
            None => (500, Bytes::from(format!("Unknown service {id:?}"))),
        };
    }
    assert_eq!(path, "/v1/agent/service/register");
    let mut service: Value = serde_json::from_slice(body).unwrap();
    for never in ["Check", "Checks"] {
        assert!(service.get(never).is_none());
    }
    let name = service.as_object_mut().and_then(|fields| fields.remove("Name")).unwrap();
    if matches!(mood, Mood::Refusing(refused) if name == *refused) {
        return (403, Bytes::from_static(b"Permission denied"));
    }
    service["Service"] = name;
    service["Weights"] = json!({ "Passing": 1 });
    memory.services.insert(service["ID"].as_str().unwrap().to_owned(), service);
    (200, Bytes::new())
}
