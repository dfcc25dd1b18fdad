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
    time::{Sleep, sleep},
};

use super::{
    Caller,
    limits::{CLOSING, PASSED},
};
use crate::auth::{Closing, Unproven};

/// A connection and its caller.
pub struct Stream {
    stream: UnixStream,
    caller: Caller,
    /// Its user has spent the allowance.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// Joins them.
    pub fn new(stream: UnixStream, caller: Caller) -> Self {
        Self { stream, caller, pause: None }
    }

    /// Waits until the user may send more.
    fn poll_allowed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
            }
            self.pause = self.caller.0.seat.wait().map(|wait| Box::pin(sleep(wait)));
            if self.pause.is_none() {
                return Poll::Ready(());
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // Room for one more than is allowed, so that too many are seen as such. The kernel fills what
        // alignment leaves over as well, and says CTRUNC if that was not enough either.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED + 1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(self.stream.as_fd(), &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
        self.caller.0.seat.spend(received.bytes);
        let (uid, account) = (self.caller.peer().uid(), self.caller.account());
        // Every one of them is owned before anything is decided: closing is not for this thread.
        let descriptors: Vec<Unproven> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .map(|descriptor| Unproven::new(descriptor, account))
            .collect();
        let passed = !descriptors.is_empty();
        if received.flags.contains(ReturnFlags::CTRUNC) || !self.caller.keep(descriptors) {
            tracing::info!(uid, "closing a connection that passed more than {PASSED} descriptors");
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more than two descriptors were passed"));
        }
        if passed && Closing::of(account).user > CLOSING {
            tracing::info!(uid, "closing a connection of a user whose earlier descriptors cannot be closed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors wait to be closed"));
        }
        Ok(received.bytes)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_allowed(context));
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
