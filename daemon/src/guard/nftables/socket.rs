//! A blocking nfnetlink socket for nf_tables.

use std::io;

use netlink_sys::{SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::net::sockopt::set_socket_send_buffer_size_force;

use super::wire::{Answer, Attributes, Batch, Family, answers, kind, single};

/// netlink(7): an error or an acknowledgement, and the end of a list.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 1; // NLM_F_REQUEST
const DUMP: u16 = 0x300; // NLM_F_DUMP

/// A socket of the network namespace that it was opened in.
pub struct Socket {
    socket: netlink_sys::Socket,
    port: u32,
    sequence: u32,
}

impl Socket {
    /// Opens one.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT`: the kernel has no nfnetlink.
    pub fn open() -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
        let port = socket.bind_auto()?.port_number();
        socket.connect(&SocketAddr::new(0, 0))?;
        // Answers then do not repeat the request. Old kernels lack it.
        let _ = socket.set_cap_ack(true);
        Ok(Self { socket, port, sequence: 0 })
    }

    /// Its number, which the kernel's announcements of its doings carry.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// A batch to be filled and sent with this socket.
    pub fn batch(&mut self) -> Batch {
        self.sequence = self.sequence.wrapping_add(1);
        Batch::new(self.sequence)
    }

    /// Has a batch carried out as a whole, or, without `commit`, only checked.
    ///
    /// # Errors
    /// The first thing that the kernel refused; then it did nothing.
    pub fn send(&mut self, batch: Batch, commit: bool) -> io::Result<()> {
        let (first, last) = (batch.first(), batch.last());
        if first == last {
            return Ok(());
        }
        let octets = batch.finish(commit);
        // The number of the end of the batch.
        self.sequence = last.wrapping_add(1);
        self.make_room(octets.len())?;
        self.socket.send(&octets, 0)?;
        let mut outcome = Ok(());
        loop {
            let (received, _) = self.socket.recv_from_full()?;
            for answer in answers(&received).filter(|answer| answer.kind == NLMSG_ERROR) {
                let position = answer.sequence.wrapping_sub(first);
                if position > last.wrapping_sub(first) + 1 {
                    continue; // of an earlier batch
                }
                let code = answer.code().ok_or_else(|| io::Error::other("a netlink error without a code"))?;
                if code != 0 && outcome.is_ok() {
                    outcome = Err(io::Error::from_raw_os_error(code.wrapping_neg()));
                }
                // What is wrong with the whole is answered to its beginning, and then nothing else is.
                if answer.sequence == last || answer.sequence == first {
                    return outcome;
                }
            }
        }
    }

    /// A batch is one datagram: the buffer has to hold it (`netlink_sendmsg`, `EMSGSIZE`).
    fn make_room(&self, octets: usize) -> io::Result<()> {
        const ALWAYS: usize = 64 << 10;
        if octets > ALWAYS {
            set_socket_send_buffer_size_force(&self.socket, octets * 2)?;
        }
        Ok(())
    }

    /// Reads every object of a kind with `read`.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn list<T>(
        &mut self,
        message: i32,
        family: Family,
        fill: impl FnOnce(&mut Attributes<'_>),
        mut read: impl FnMut(&Answer<'_>) -> T,
    ) -> io::Result<Vec<T>> {
        self.ask(message, family, REQUEST | DUMP, fill)?;
        let mut found = Vec::new();
        loop {
            let (received, _) = self.socket.recv_from_full()?;
            for answer in answers(&received).filter(|answer| answer.sequence == self.sequence) {
                match answer.kind {
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => return Err(failure(answer.code())),
                    _ => found.push(read(&answer)),
                }
            }
        }
    }

    /// Whether the kernel has one object.
    ///
    /// # Errors
    /// What the kernel answered, but for `ENOENT`.
    pub fn has(
        &mut self,
        message: i32,
        family: Family,
        fill: impl FnOnce(&mut Attributes<'_>),
    ) -> io::Result<bool> {
        self.ask(message, family, REQUEST, fill)?;
        loop {
            let (received, _) = self.socket.recv_from_full()?;
            let Some(answer) = answers(&received).find(|answer| answer.sequence == self.sequence) else {
                continue;
            };
            if answer.kind != NLMSG_ERROR {
                return Ok(true);
            }
            let error = failure(answer.code());
            let absent = error.kind() == io::ErrorKind::NotFound;
            return if absent { Ok(false) } else { Err(error) };
        }
    }

    fn ask(
        &mut self,
        message: i32,
        family: Family,
        flags: u16,
        fill: impl FnOnce(&mut Attributes<'_>),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut octets = Vec::with_capacity(256);
        single(&mut octets, kind(message), flags, self.sequence, family, fill);
        self.socket.send(&octets, 0).map(drop)
    }
}

fn failure(code: Option<i32>) -> io::Error {
    code.map_or_else(
        || io::Error::other("a netlink error without a code"),
        |code| io::Error::from_raw_os_error(code.wrapping_neg()),
    )
}
