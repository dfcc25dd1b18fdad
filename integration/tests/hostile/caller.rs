//! A client that passes any descriptors, as any user, and blocks.

use std::{
    fs::File,
    io::{self, IoSlice, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Gid, Uid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
};
use tonic::{
    Request, Status,
    codegen::http::Uri,
    transport::{Channel, Endpoint},
};
use tower_service::Service;
use v6pod_integration::LATER;
use v6pod_proto::v1::{
    ActivateRequest, ActivateResponse, Attachment, CheckRequest, DeactivateRequest, GetRequest, ListRequest,
    attachments_client::AttachmentsClient, deactivate_request, get_request,
};

/// What HTTP/2 clients say first (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of a type that nobody knows, which has to be ignored (RFC 9113, section 5.5).
pub const UNKNOWN_FRAME: &[u8] = &[0, 0, 0, 0xfa, 0, 0, 0, 0, 0];

/// The most descriptors that one message takes (`SCM_MAX_FD`).
pub const MOST: usize = 253;

/// Does something with the identity of a user, on a thread of its own that ends with it.
pub fn as_uid<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> T {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    let become_user = move || {
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)
    };
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            become_user().expect("root may become anybody");
            work()
        });
        worker.join().expect("the user's thread ends well")
    })
}

/// Connects as a user to the socket `v6pod.sock` in this folder.
pub fn dial(folder: &File, uid: u32) -> UnixStream {
    let path = format!("/proc/self/fd/{}/v6pod.sock", folder.as_raw_fd());
    as_uid(uid, || UnixStream::connect(path)).expect("everybody may connect")
}

/// Sends octets with descriptors, which stay open here.
pub fn pass(wire: impl AsFd, octets: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)), "they fit into one message");
    }
    let sent = sendmsg(wire, &[IoSlice::new(octets)], &mut control, SendFlags::NOSIGNAL)?;
    assert_eq!(sent, octets.len(), "a short write");
    Ok(())
}

/// Waits until the daemon hangs up, and panics if it does not.
#[track_caller]
pub fn is_hung_up_on(mut wire: &UnixStream) {
    wire.set_read_timeout(Some(LATER)).expect("a timeout can be set");
    let mut octets = [0; 4096];
    loop {
        match wire.read(&mut octets) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the connection is still there: {error}"),
        }
    }
}

/// A connection that speaks gRPC.
pub struct Client {
    runtime: Runtime,
    channel: Channel,
    wire: UnixStream,
}

impl Client {
    /// Connects as a user and passes these descriptors, all with the first octet.
    pub fn new(folder: &File, uid: u32, descriptors: &[BorrowedFd<'_>]) -> Self {
        let wire = dial(folder, uid);
        pass(&wire, &PREFACE[..1], descriptors).expect("an octet can be sent");
        Self::resume(wire, 1)
    }

    /// Speaks on over a connection on which so many octets of the preface were sent already.
    pub fn resume(wire: UnixStream, sent: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let channel = runtime.block_on(async {
            let stream = wire.try_clone().expect("a descriptor can be copied");
            stream.set_nonblocking(true).expect("a socket can be made non-blocking");
            let stream = tokio::net::UnixStream::from_std(stream).expect("a socket can be polled");
            // Lazily: what ends the connection at once shall be the first call's failure.
            Endpoint::from_static("http://localhost")
                .connect_with_connector_lazy(Once(Some(Rest { stream, sent })))
        });
        Self { runtime, channel, wire }
    }

    /// Its socket.
    pub fn wire(&self) -> &UnixStream {
        &self.wire
    }

    /// Passes more descriptors between two calls.
    pub fn pass_late(&self, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        pass(&self.wire, UNKNOWN_FRAME, descriptors)
    }

    /// Waits for an answer.
    pub fn wait<T>(
        &self,
        answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Status> {
        self.within(answer).map(tonic::Response::into_inner)
    }

    /// Waits for whatever it is, and not for ever.
    pub fn within<T>(&self, work: impl Future<Output = T>) -> T {
        let limited = self.runtime.block_on(async { tokio::time::timeout(LATER, work).await });
        limited.expect("an answer in time")
    }

    /// Another handle of the same connection.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The service under attack.
    pub fn attachments(&self) -> AttachmentsClient<Channel> {
        AttachmentsClient::new(self.channel())
    }

    /// Calls Activate.
    pub fn activate(&self, request: impl Into<Asked>) -> Result<ActivateResponse, Status> {
        self.wait(self.attachments().activate(request.into().0))
    }

    /// Calls Activate, does not wait for the answer longer than so, and hangs up.
    pub fn activate_and_die(self, patience: Duration) {
        let mut attachments = self.attachments();
        let call = attachments.activate(ActivateRequest::default());
        let _ = self.runtime.block_on(async { tokio::time::timeout(patience, call).await });
    }

    /// Calls Deactivate.
    pub fn deactivate(&self, id: &str) -> Result<Option<Attachment>, Status> {
        let target = Some(deactivate_request::Target::Id(id.to_owned()));
        self.wait(self.attachments().deactivate(DeactivateRequest { target })).map(|answer| answer.attachment)
    }

    /// Calls Get.
    pub fn get(&self, target: get_request::Target) -> Result<Option<Attachment>, Status> {
        let request = GetRequest { target: Some(target) };
        self.wait(self.attachments().get(request)).map(|answer| answer.attachment)
    }

    /// Calls List.
    pub fn list(&self) -> Result<Vec<Attachment>, Status> {
        self.wait(self.attachments().list(ListRequest::default())).map(|answer| answer.attachments)
    }

    /// Calls Check.
    pub fn check(&self, id: &str) -> Result<Vec<String>, Status> {
        self.wait(self.attachments().check(CheckRequest { id: id.to_owned() })).map(|answer| answer.problems)
    }
}

/// What Activate is asked for: nothing special, fields, or fields with metadata.
pub struct Asked(Request<ActivateRequest>);

impl From<()> for Asked {
    fn from((): ()) -> Self {
        Self(Request::new(ActivateRequest::default()))
    }
}

impl From<ActivateRequest> for Asked {
    fn from(request: ActivateRequest) -> Self {
        Self(Request::new(request))
    }
}

impl From<Request<ActivateRequest>> for Asked {
    fn from(request: Request<ActivateRequest>) -> Self {
        Self(request)
    }
}

/// A connector that hands out the one connection it was given.
struct Once(Option<Rest>);

impl Service<Uri> for Once {
    type Response = TokioIo<Rest>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let ended = || io::Error::other("there is one connection and no other");
        std::future::ready(self.0.take().map(TokioIo::new).ok_or_else(ended))
    }
}

/// A connection on which the first octets were sent already: what the HTTP/2 client writes of them is
/// swallowed.
struct Rest {
    stream: tokio::net::UnixStream,
    sent: usize,
}

impl AsyncRead for Rest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Rest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let swallowed = self.sent.min(octets.len());
        if swallowed > 0 {
            self.sent -= swallowed;
            return Poll::Ready(Ok(swallowed));
        }
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Writes without descriptors.
pub fn say(mut wire: &UnixStream, octets: &[u8]) {
    wire.write_all(octets).expect("octets can be sent");
}
