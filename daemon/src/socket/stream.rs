//! A connection that receives descriptors: `read` is recvmsg(2).
//!
//! An ordinary read silently discards descriptors (unix(7)), and where in the stream they arrive
//! depends on how the kernel glued the writes together. So every read looks for them, and how many a
//! connection may pass in all is bounded.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::UnixStream,
};
use tonic::transport::server::Connected;

use super::{CLOSING, Caller, MOST};
use crate::auth::{self, Unproven};

/// A connection and its caller.
pub struct Stream {
    stream: UnixStream,
    caller: Caller,
}

impl Stream {
    /// Joins them.
    pub fn new(stream: UnixStream, caller: Caller) -> Self {
        Self { stream, caller }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // Room for one more than is allowed, so that too many are seen as such. The kernel fills what
        // alignment leaves over as well, and says CTRUNC if that was not enough either.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST + 1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(self.stream.as_fd(), &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
        let uid = self.caller.peer().uid();
        // Every one of them is owned before anything is decided: closing is not for this thread.
        let descriptors: Vec<Unproven> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .map(|descriptor| Unproven::new(descriptor, uid))
            .collect();
        let passed = !descriptors.is_empty();
        if received.flags.contains(ReturnFlags::CTRUNC) || !self.caller.keep(descriptors) {
            tracing::info!(uid, "closing a connection that passed more than {MOST} descriptors");
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more than two descriptors were passed"));
        }
        if passed && auth::closing(uid) > CLOSING {
            tracing::info!(uid, "closing a connection of a user whose earlier descriptors cannot be closed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors wait to be closed"));
        }
        Ok(received.bytes)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let unfilled = buffer.initialize_unfilled();
            match self.stream.try_io(Interest::READABLE, || self.receive(unfilled)) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Stream {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}
