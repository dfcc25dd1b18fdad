//! A daemon that only knows `Activate`, answers as the test says, and hands over what it was given.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, ready},
    time::Duration,
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
    DeactivateResponse, ExposeRequest, ExposeResponse, GetRequest, GetResponse, ListRequest, ListResponse,
    WatchRequest, WatchResponse,
    attachments_server::{Attachments, AttachmentsServer},
};

/// One call.
pub struct Received {
    pub request: ActivateRequest,
    /// What came with the connection: the namespace, the lease.
    pub descriptors: Vec<OwnedFd>,
}

/// What to answer; `None` is never to answer.
pub type Answer = fn(&ActivateRequest) -> Option<Result<ActivateResponse, Status>>;

/// The answer of a daemon that is content.
pub fn attached(request: &ActivateRequest) -> Option<Result<ActivateResponse, Status>> {
    let attachment =
        Attachment { name: request.name.clone(), address: "2001:db8::2".to_owned(), ..Default::default() };
    Some(Ok(ActivateResponse { attachment: Some(attachment), created: true, ..Default::default() }))
}

/// The calls a daemon receives; it runs on its own thread until the test program ends.
pub struct Daemon(mpsc::Receiver<Received>);

impl Daemon {
    /// Listens when it returns.
    pub fn start(socket: &Path, answer: Answer) -> Self {
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (calls, received) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let streams = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
                let streams = streams.map(|stream| stream.map(Stream::new));
                let service = AttachmentsServer::new(Service { calls, answer });
                Server::builder().add_service(service).serve_with_incoming(streams).await.unwrap();
            });
        });
        Self(received)
    }

    /// The next call.
    pub fn call(&self) -> Received {
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

struct Service {
    calls: mpsc::Sender<Received>,
    answer: Answer,
}

#[tonic::async_trait]
impl Attachments for Service {
    type WatchStream = tokio_stream::Pending<Result<WatchResponse, Status>>;

    async fn activate(
        &self,
        request: Request<ActivateRequest>,
    ) -> Result<Response<ActivateResponse>, Status> {
        let descriptors = request.extensions().get::<Descriptors>().unwrap();
        let descriptors = std::mem::take(&mut *descriptors.lock().unwrap());
        let request = request.into_inner();
        let answer = (self.answer)(&request);
        // Nobody waits for it once the test has seen enough.
        let _ = self.calls.send(Received { request, descriptors });
        match answer {
            Some(answer) => answer.map(Response::new),
            None => std::future::pending().await,
        }
    }

    async fn deactivate(
        &self,
        _: Request<DeactivateRequest>,
    ) -> Result<Response<DeactivateResponse>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn get(&self, _: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn expose(&self, _: Request<ExposeRequest>) -> Result<Response<ExposeResponse>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Err(Status::unimplemented("a fake"))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("a fake"))
    }
}
