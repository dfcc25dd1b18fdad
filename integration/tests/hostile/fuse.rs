//! Files of a file system that its owner, the attacker, runs: they lie, and they keep the asker waiting.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::{
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, recv, socket_with},
    pipe::{PipeFlags, pipe_with},
};
use tonic::Code;
use v6pod_integration::{Background, Daemon, LATER, Signal, eventually};

use crate::{
    caller::{Client, PREFACE, UNKNOWN_FRAME, dial, pass},
    holder::Holder,
    site::{NETWORK, Site, refused},
};

const NO_NAMESPACE: &str = "the first descriptor that was passed is not a network namespace";
const NO_LEASE: &str = "the second descriptor that was passed is not the read end of a pipe";
/// The mounted file system, and who passes its files. The server ends first: who has one of them open waits
/// for it in closing that.
pub struct FileSystem {
    server: Background,
    _accomplice: Background,
    socket: std::path::PathBuf,
}

impl FileSystem {
    /// Mounted by alice; answers for now.
    #[track_caller]
    pub fn new(site: &Site) -> Self {
        site.host.write("/tmp/file_system.py", include_str!("file_system.py"));
        site.host.write("/tmp/accomplice.py", include_str!("accomplice.py"));
        site.host.write("/etc/fuse.conf", "user_allow_other\n");
        site.alice.run(["mkdir", "/home/alice/evil"]);
        let python = |arguments: &[&str]| {
            site.alice.spawn(["chrt", "--idle", "0", "/usr/bin/python3"].iter().chain(arguments))
        };
        let server = python(&["/tmp/file_system.py", "/home/alice/evil", "/tmp/hang"]);
        eventually(LATER, || {
            site.alice
                .try_run(["stat", "/home/alice/evil/file"])
                .success()
                .then_some(())
                .ok_or_else(|| server.to_string())
        });
        let accomplice = python(&["/tmp/accomplice.py", "/home/alice/evil", "/tmp/accomplice"]);
        let log = || accomplice.log();
        eventually(LATER, || if log() == "ready\n" { Ok(()) } else { Err(log()) });
        Self { server, _accomplice: accomplice, socket: site.host.path("/tmp/accomplice") }
    }

    /// From now on it keeps everybody waiting.
    pub fn hang(&self, site: &Site) {
        site.host.write("/tmp/hang", "");
    }

    /// It answers again.
    pub fn relent(&self, site: &Site) {
        fs::remove_file(site.host.path("/tmp/hang")).expect("it was there");
    }

    /// It holds somebody who did this.
    #[track_caller]
    fn holds_somebody(&self, doing: &str) {
        let log = || self.server.log();
        eventually(
            LATER,
            || if log().contains(doing) { Ok(()) } else { Err(format!("no {doing}: {}", log())) },
        );
    }

    /// Sends octets with descriptors of its files, by their names, and of what is `given`.
    pub fn pass(
        &self,
        wire: &UnixStream,
        octets: &[u8],
        names: &[&str],
        given: Option<&OwnedFd>,
    ) -> io::Result<()> {
        let hexadecimal: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let request = serde_json::json!({"octets": hexadecimal, "send": names}).to_string();
        let asked = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        connect(&asked, &SocketAddrUnix::new(&self.socket)?)?;
        let descriptors: Vec<BorrowedFd<'_>> =
            [wire.as_fd()].into_iter().chain(given.map(OwnedFd::as_fd)).collect();
        pass(&asked, request.as_bytes(), &descriptors)?;
        let mut answer = [0; 256];
        let (length, _) = recv(&asked, &mut answer, rustix::net::RecvFlags::empty())?;
        if &answer[..length] == b"ok" {
            Ok(())
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&answer[..length])))
        }
    }

    /// A connection of alice's on which these were passed.
    fn client(&self, site: &Site, names: &[&str], given: Option<&OwnedFd>) -> Client {
        let wire = dial(&site.folder, site.alice.uid());
        self.pass(&wire, &PREFACE[..1], names, given).expect("they can be sent");
        Client::resume(wire, 1)
    }
}

#[test]
fn case_06_a_file_that_claims_to_be_a_namespace_is_none() {
    let site = Site::new(NETWORK);
    let system = FileSystem::new(&site);
    let claims = "import fcntl; print(hex(fcntl.ioctl(open('/home/alice/evil/file'), 0xb703)))";
    assert_eq!(site.alice.run(["/usr/bin/python3", "-c", claims]).text(), "0x40000000");
    refused(
        "the file",
        system.client(&site, &["file"], None).activate(()),
        Code::InvalidArgument,
        NO_NAMESPACE,
    );
    drop(system);
    site.is_unharmed();
}

#[test]
fn case_06_a_file_that_hangs_holds_up_nobody() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let system = FileSystem::new(&site);
    let net = own.net();
    system.hang(&site);
    refused(
        "as a namespace",
        system.client(&site, &["file"], None).activate(()),
        Code::InvalidArgument,
        NO_NAMESPACE,
    );
    refused(
        "as both",
        system.client(&site, &["file", "file"], None).activate(()),
        Code::InvalidArgument,
        NO_NAMESPACE,
    );
    refused(
        "as a lease",
        system.client(&site, &["given", "file"], Some(&net)).activate(()),
        Code::InvalidArgument,
        NO_LEASE,
    );
    system.holds_somebody("flush");
    site.serves_bob();
    // Not even the attacker is locked out.
    let answer = site.alices(&[&net], ()).expect("alice's own namespace is");
    site.deactivate(site.alice.uid(), &answer.attachment.expect("an attachment").id);
    drop((system, own, net));
    site.is_unharmed();
}

#[test]
fn case_06_a_fifo_that_hangs_holds_up_nobody() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let system = FileSystem::new(&site);
    let net = own.net();
    system.hang(&site);
    for _ in 0..20 {
        refused(
            "the FIFO",
            system.client(&site, &["given", "fifo"], Some(&net)).activate(()),
            Code::InvalidArgument,
            NO_LEASE,
        );
    }
    refused(
        "as a namespace",
        system.client(&site, &["fifo"], None).activate(()),
        Code::InvalidArgument,
        NO_NAMESPACE,
    );
    site.serves_bob();
    drop((system, own, net));
    site.is_unharmed();
}

#[test]
fn case_06_files_that_hang_do_not_pile_up() {
    let site = Site::new(NETWORK);
    let system = FileSystem::new(&site);
    let before = site.descriptors();
    system.hang(&site);
    // Over one connection as long as it lasts, then over new ones.
    let mut hung_up = 0;
    for _ in 0..40 {
        hung_up += 1;
        let wire = dial(&site.folder, site.alice.uid());
        let both = ["file", "file"];
        if system.pass(&wire, &PREFACE[..1], &both, None).is_err() {
            continue;
        }
        let client = Client::resume(wire, 1);
        while client.activate(()).is_err_and(|status| status.code() == Code::InvalidArgument)
            && system.pass(client.wire(), UNKNOWN_FRAME, &both, None).is_ok()
        {}
        site.serves_bob();
        let open = site.descriptors() - before;
        assert!(open < 40, "{open} descriptors are waiting to be closed after {hung_up} connections");
    }
    system.relent(&site);
    drop(system);
    site.is_unharmed();
    site.log_is_clean();
}

/// Whether the built-in DNS answers.
fn answers(site: &Site) -> bool {
    site.host.try_run(["dig", "+time=1", "+tries=1", "@2001:db8:1::1", "x.v6pod", "AAAA"]).success()
}

#[test]
fn case_06_a_daemon_that_is_held_up_and_told_to_end_can_be_replaced() {
    let mut site = is_replaced(Signal::TERM, |site| {
        eventually(LATER, || if answers(site) { Ok(()) } else { Err("no DNS") });
    });
    site.daemon.stop();
}

/// What is left of the daemon keeps all that it had open, the DNS port among it: nothing can be done about
/// that but to end the file system, of which the log speaks.
#[test]
fn case_06_a_daemon_that_is_held_up_and_killed_can_be_replaced() {
    let site = is_replaced(Signal::KILL, |_| {});
    eventually(LATER, || if answers(&site) { Ok(()) } else { Err("no DNS") });
}

/// The daemon gets this signal while it waits for the file system; what its successor can do is looked at
/// before the file system ends. Gives the site with the successor.
#[track_caller]
fn is_replaced(signal: Signal, look: impl FnOnce(&Site)) -> Site {
    let mut site = Site::new(NETWORK);
    let kept = Holder::own(&site.alice);
    let before = site.alices(&[&kept.net()], ()).expect("her own").attachment;
    let own = Holder::own(&site.alice);
    let (read, _write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe can be made");
    let mut successor = Daemon::new(&site.host, NETWORK);
    let system = FileSystem::new(&site);
    system.hang(&site);
    refused(
        "the file",
        system.client(&site, &["file"], None).activate(()),
        Code::InvalidArgument,
        NO_NAMESPACE,
    );
    system.holds_somebody("flush");
    site.daemon.process().signal(signal);
    // What is left of it keeps waiting for the file system, and cannot be waited for.
    successor.launch();
    eventually(LATER, || {
        let status = successor.exited();
        assert!(status.is_none(), "the successor ended: {status:?}\n{}", successor.log());
        // "Address already in use" is no sign that it is.
        if successor.log().contains(": ready ") { Ok(()) } else { Err(successor.log()) }
    });
    site.serves_bob();
    site.alices(&[&own.net(), &read], ()).expect("alice is served too");
    let after = site.alices(&[&kept.net()], ()).expect("her own");
    assert_eq!((after.created, after.attachment), (false, before), "her container was kept");
    look(&site);
    drop(system);
    drop(own);
    site.daemon.wait(LATER);
    site.daemon = successor;
    site
}
