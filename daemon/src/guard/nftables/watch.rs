//! Notices when somebody else changes our tables (`nft flush ruleset`, a firewall that is loaded again),
//! and has them written again at once. The kernel says so to NFNLGRP_NFTABLES; nothing polls.
//!
//! Each change comes with the number of the socket that made it, so that ours are told from others'. The
//! changes of one batch are followed by a message that says which process it was (`NFT_MSG_NEWGEN`).

use std::{io, sync::Arc, thread, time::Duration};

use netlink_sys::{SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::{io::Errno, net::sockopt::set_socket_recv_buffer_size_force};

use super::{
    PLACES, Rules,
    wire::{Answer, answers, kind},
};
use crate::{backoff, fault::Fault};

/// The receive buffer in octets. Our own changes are announced to us too.
const BUFFER: usize = 4 << 20;
/// Attributes of `NFT_MSG_NEWGEN`.
const GENERATION_PID: i32 = 2;
const GENERATION_NAME: i32 = 3;
/// In every message about something in a table, the table's name.
const TABLE: i32 = 1;
/// How long to wait before the next attempt if the rules could not be written again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Watches on a thread of its own for as long as the daemon runs.
pub fn start(rules: &Arc<Rules>) -> io::Result<()> {
    let socket = listen()?;
    let rules = Arc::clone(rules);
    thread::Builder::new().name("guard".to_owned()).spawn(move || watch(socket, &rules))?;
    Ok(())
}

fn listen() -> io::Result<netlink_sys::Socket> {
    let mut socket = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
    set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.add_membership(libc::NFNLGRP_NFTABLES.unsigned_abs())?;
    Ok(socket)
}

fn hear(socket: &netlink_sys::Socket) -> io::Result<Vec<u8>> {
    let (octets, _) = socket.recv_from_full()?;
    Fault.after("guard.heard")?;
    Ok(octets)
}

fn watch(mut socket: netlink_sys::Socket, rules: &Rules) {
    let (mut touched, mut failures) = (false, 0);
    loop {
        match hear(&socket) {
            Ok(octets) => {
                failures = 0;
                for answer in answers(&octets) {
                    touched |= is_foreign(&answer, rules.port);
                    if touched && answer.kind == kind(libc::NFT_MSG_NEWGEN) {
                        touched = false;
                        restore(rules, &author(&answer));
                    }
                }
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => {
                touched = false;
                restore(rules, "unknown: the kernel's messages were lost");
            }
            Err(error) => {
                tracing::error!(%error, "the guard cannot hear whether its rules are taken away; it tries another socket");
                socket = listen_again(&mut failures);
                touched = false;
                restore(rules, "unknown: the kernel could not be heard");
            }
        }
    }
}

/// A new socket, in a while: each time later if it is of no use either.
fn listen_again(failures: &mut u32) -> netlink_sys::Socket {
    loop {
        *failures += 1;
        thread::sleep(backoff::after(*failures));
        match listen() {
            Ok(socket) => return socket,
            Err(error) => {
                tracing::error!(%error, failures, "the guard has no socket to hear by; it tries again");
            }
        }
    }
}

/// Whether somebody else did something to one of our tables.
fn is_foreign(answer: &Answer<'_>, port: u32) -> bool {
    answer.kind != kind(libc::NFT_MSG_NEWGEN)
        && answer.port != port
        && PLACES.iter().any(|place| {
            place.family as u8 == answer.family() && answer.text(TABLE).as_deref() == Some(place.name)
        })
}

fn author(answer: &Answer<'_>) -> String {
    let name = answer.text(GENERATION_NAME).unwrap_or_else(|| "unknown".to_owned());
    let pid = answer.number(GENERATION_PID).unwrap_or_default();
    format!("{name:?}, process {pid}")
}

fn restore(rules: &Rules, author: &str) {
    loop {
        match rules.restore() {
            Ok(()) => {
                tracing::warn!(author, "the guard's nftables rules were changed, or may have been: restored");
                return;
            }
            Err(error) => {
                tracing::error!(%error, author, "the guard's nftables rules were changed and cannot be restored");
                thread::sleep(PATIENCE);
            }
        }
    }
}
