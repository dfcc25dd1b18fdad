//! A daemon made of answers. It keeps the descriptors that came with a connection, as the real one does,
//! and hands them to the test with the call.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{UnixListener, UnixStream},
};
use tokio_stream::{StreamExt as _, wrappers::UnixListenerStream};
use tonic::{
    Request, Response, Status,
    transport::server::{Connected, Server},
};
use v6pod_proto::v1::{
    ActivateRequest, ActivateResponse, Attachment, CheckRequest, CheckResponse, DeactivateRequest,
    DeactivateResponse, ExplainRequest, ExplainResponse, ExposeRequest, ExposeResponse, GetRequest,
    GetResponse, HistoryRequest, HistoryResponse, ListRequest, ListResponse, StatusRequest, StatusResponse,
    WatchRequest, WatchResponse,
    attachment::State,
    attachments_server::{Attachments, AttachmentsServer},
    daemon_server::{Daemon as DaemonService, DaemonServer},
    deactivate_request::Target,
    watch_response::Kind,
};

/// What it answers.
#[derive(Clone)]
pub struct Answers {
    pub attachments: Vec<Attachment>,
    pub status: StatusResponse,
    pub told: ExplainResponse,
    pub problems: Vec<String>,
    /// What History finds, for whatever this says fits.
    pub history: HistoryResponse,
    pub fits: fn(&HistoryRequest) -> bool,
    /// Whether a namespace is new.
    pub created: bool,
    /// The answer to Activate, Deactivate, Check, Explain and Expose instead.
    pub refusal: Option<Status>,
    /// What a watcher is told, after which the watch goes on in silence, or ends.
    pub events: Vec<Result<WatchResponse, Status>>,
    pub watch_ends: bool,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            attachments: Vec::new(),
            status: StatusResponse { version: "0.1.0".to_owned(), caller_uid: 1001, ..Default::default() },
            told: ExplainResponse { allowed: true, uid: 4_000_000_001, ..Default::default() },
            problems: Vec::new(),
            history: HistoryResponse::default(),
            fits: |_| true,
            created: true,
            refusal: None,
            events: Vec::new(),
            watch_ends: false,
        }
    }
}

/// An attachment, three minutes and a half old.
pub fn attachment(id: &str, name: &str, container_id: &str) -> Attachment {
    Attachment {
        id: id.to_owned(),
        network: "default".to_owned(),
        uid: 4_000_000_001,
        container_id: container_id.to_owned(),
        name: name.to_owned(),
        interface: "v6pod0".to_owned(),
        address: "2001:db8::242:ac11:2".to_owned(),
        prefix_length: 80,
        state: State::Active.into(),
        created: Some((SystemTime::now() - Duration::from_secs(210)).into()),
        published: vec![format!("{name}.v6pod")],
        ..Default::default()
    }
}

/// An event of a watch.
pub fn event(kind: Kind, attachment: Option<Attachment>) -> Result<WatchResponse, Status> {
    Ok(WatchResponse { kind: kind.into(), attachment })
}

/// A change that the daemon was asked for.
#[derive(Debug)]
pub enum Call {
    /// And what came with the connection: the namespace, the lease.
    Activate(ActivateRequest, Vec<OwnedFd>),
    Deactivate(Target),
    Check(String),
    History(HistoryRequest),
    Explain(ExplainRequest),
    Expose(String, String),
}

/// The calls a daemon receives; it runs on its own thread until the test program ends.
pub struct Daemon(mpsc::Receiver<Call>);

impl Daemon {
    /// Listens when it returns.
    pub fn start(socket: &Path, answers: Answers) -> Self {
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (calls, received) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let streams = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
                let streams = streams.map(|stream| stream.map(Stream::new));
                let service = Service { calls, answers };
                let server = Server::builder()
                    .add_service(AttachmentsServer::new(service.clone()))
                    .add_service(DaemonServer::new(service));
                server.serve_with_incoming(streams).await.unwrap();
            });
        });
        Self(received)
    }

    /// The next call.
    pub fn call(&self) -> Call {
        self.0.recv_timeout(Duration::from_secs(20)).expect("no call came")
    }

    /// Whether there has been no further call.
    pub fn is_quiet(&self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// The descriptors of a connection, until a call takes them.
type Descriptors = Arc<Mutex<Vec<OwnedFd>>>;

struct Stream {
    stream: UnixStream,
    descriptors: Descriptors,
}

impl Stream {
    fn new(stream: UnixStream) -> Self {
        Self { stream, descriptors: Descriptors::default() }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let message = recvmsg(&self.stream, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = part {
                self.descriptors.lock().unwrap().extend(passed);
            }
        }
        Ok(message.bytes)
    }
}

impl Connected for Stream {
    type ConnectInfo = Descriptors;

    fn connect_info(&self) -> Descriptors {
        Arc::clone(&self.descriptors)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let read = self.stream.try_io(Interest::READABLE, || self.receive(buffer.initialize_unfilled()));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    buffer.advance(read?);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[derive(Clone)]
struct Service {
    calls: mpsc::Sender<Call>,
    answers: Answers,
}

impl Service {
    /// Nobody waits for the call once the test has seen enough.
    fn note(&self, call: Call) -> Result<(), Status> {
        let _ = self.calls.send(call);
        self.answers.refusal.clone().map_or(Ok(()), Err)
    }
}

#[tonic::async_trait]
impl Attachments for Service {
    type WatchStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn activate(
        &self,
        request: Request<ActivateRequest>,
    ) -> Result<Response<ActivateResponse>, Status> {
        let descriptors = request.extensions().get::<Descriptors>().unwrap();
        let descriptors = std::mem::take(&mut *descriptors.lock().unwrap());
        let request = request.into_inner();
        // One that is there already has its name.
        let name = if self.answers.created { &request.name } else { "web" };
        let attachment = attachment("0123456789ab", name, &request.container_id);
        self.note(Call::Activate(request, descriptors))?;
        let created = self.answers.created;
        let dns_servers = vec!["2001:db8::1".to_owned()];
        Ok(Response::new(ActivateResponse { attachment: Some(attachment), created, dns_servers }))
    }

    async fn deactivate(
        &self,
        request: Request<DeactivateRequest>,
    ) -> Result<Response<DeactivateResponse>, Status> {
        let target = request.into_inner().target.unwrap();
        let Target::Id(id) = &target else { panic!("not by id: {target:?}") };
        let attachment = self.answers.attachments.iter().find(|attachment| attachment.id == *id).cloned();
        self.note(Call::Deactivate(target))?;
        Ok(Response::new(DeactivateResponse { attachment }))
    }

    async fn get(&self, _: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(ListResponse { attachments: self.answers.attachments.clone() }))
    }

    async fn expose(&self, request: Request<ExposeRequest>) -> Result<Response<ExposeResponse>, Status> {
        let ExposeRequest { id, inbound } = request.into_inner();
        let found = self.answers.attachments.iter().find(|attachment| attachment.id == id).cloned();
        let attachment = found.map(|found| Attachment { inbound: inbound.clone(), ..found });
        self.note(Call::Expose(id, inbound))?;
        Ok(Response::new(ExposeResponse { attachment }))
    }

    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        self.note(Call::Check(request.into_inner().id))?;
        Ok(Response::new(CheckResponse { problems: self.answers.problems.clone() }))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let events = tokio_stream::iter(self.answers.events.clone());
        let rest = tokio_stream::pending().take(usize::from(!self.answers.watch_ends));
        Ok(Response::new(Box::pin(events.chain(rest))))
    }
}

#[tonic::async_trait]
impl DaemonService for Service {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.answers.status.clone()))
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        let request = request.into_inner();
        let fits = (self.answers.fits)(&request);
        self.note(Call::History(request))?;
        let nothing = HistoryResponse { since: self.answers.history.since, ..Default::default() };
        Ok(Response::new(if fits { self.answers.history.clone() } else { nothing }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        self.note(Call::Explain(request.into_inner()))?;
        Ok(Response::new(self.answers.told.clone()))
    }
}
