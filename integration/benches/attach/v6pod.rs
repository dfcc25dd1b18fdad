//! v6pod: the client as podman starts it, and the daemon alone.

use std::{
    fs::{self, File},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify,
    io::read,
    pipe::{PipeFlags, pipe_with},
};
use v6pod_client::connect;
use v6pod_proto::v1::{
    ActivateRequest, DeactivateRequest, attachments_client::AttachmentsClient, deactivate_request::Target,
};

use crate::namespace::{Namespace, as_user};

const CLIENT: &str = "/usr/libexec/v6pod/slirp4netns";
const SOCKET: &str = "/run/v6pod/v6pod.sock";
/// Stands for the real slirp4netns: what matters is when it is executed, and that it then stays.
const STUB: &str = "/run/v6pod-bench/slirp4netns";
/// The daemon erases a record last.
const RECORDS: &str = "/var/lib/v6pod/attachments";

/// A user who starts clients.
pub struct Client {
    uid: u32,
    /// Tells when the stub is opened, which is the first thing `execve` does.
    executed: OwnedFd,
}

/// A client that has become the stub.
pub struct Started {
    process: Child,
    /// From before its process was made until it called `execve`.
    pub until_exec: Duration,
}

impl Client {
    /// Writes the stub.
    pub fn new(uid: u32) -> Self {
        fs::create_dir_all(Path::new(STUB).parent().expect("a folder")).expect("a tmpfs");
        fs::write(STUB, "#!/bin/sh\nread -r _\n").expect("a tmpfs");
        fs::set_permissions(STUB, fs::Permissions::from_mode(0o755)).expect("a tmpfs");
        let executed =
            inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).expect("inotify");
        inotify::add_watch(&executed, STUB, inotify::WatchFlags::OPEN).expect("inotify");
        Self { uid, executed }
    }

    /// Starts the client for a namespace, as podman does, and returns when it has become the stub. `start` is
    /// when the clock was started.
    pub fn start(&self, container: &str, namespace: &Namespace, socket: &str) -> (Instant, Started) {
        let log = format!("/run/v6pod-bench/slirp4netns-{container}.log");
        let output =
            File::create(&log).and_then(|file| fs::remove_file(&log).map(|()| file)).expect("a tmpfs");
        let path = format!("--netns-type=path {} tap0", namespace.path());
        let mut command = Command::new(CLIENT);
        command
            .arg0("slirp4netns")
            .args(["--disable-host-loopback", "--mtu=65520", "--enable-sandbox", "--enable-seccomp", "-c"])
            .args(path.split(' '))
            .env_clear()
            .env("HOME", "/home/alice")
            .env("PATH", "/usr/bin:/bin")
            .env("V6POD_SLIRP4NETNS", STUB)
            .env("V6POD_SOCKET", socket)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(Stdio::null());
        as_user(self.uid, || {
            self.forget();
            let start = Instant::now();
            let process = command.spawn().expect("the client can be started");
            poll(&mut [PollFd::new(&self.executed, PollFlags::IN)], None).expect("poll");
            (start, Started { process, until_exec: start.elapsed() })
        })
    }

    /// Forgets earlier openings: the shell has opened the stub once more.
    fn forget(&self) {
        let mut events = [MaybeUninit::<u8>::uninit(); 1024];
        while read(&self.executed, &mut events).is_ok() {}
    }

    /// The same, for a daemon that listens.
    pub fn attach(&self, container: &str, namespace: &Namespace) -> (Instant, Started) {
        self.start(container, namespace, SOCKET)
    }

    /// The same, where none listens.
    pub fn attach_to_nobody(&self, container: &str, namespace: &Namespace) -> (Instant, Started) {
        self.start(container, namespace, "/run/v6pod-bench/nobody.sock")
    }

    /// One call of Activate from a process that is warm, connection and all; then Deactivate.
    pub fn call(&self, container: &str, namespace: &Namespace) -> (Duration, Duration) {
        let (read_end, _lease) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let request = ActivateRequest { container_id: container.to_owned(), ..ActivateRequest::default() };
        let passed = vec![namespace.file().try_clone().expect("a descriptor").into(), read_end];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        as_user(self.uid, || {
            runtime.block_on(async {
                let start = Instant::now();
                let channel = connect::connect(Path::new(SOCKET), passed).await.expect("the daemon listens");
                let mut client = AttachmentsClient::new(channel);
                let answer = client.activate(request).await.expect("it attaches").into_inner();
                let attached = start.elapsed();
                let id = answer.attachment.expect("it tells").id;
                let start = Instant::now();
                client
                    .deactivate(DeactivateRequest { target: Some(Target::Id(id)) })
                    .await
                    .expect("it detaches");
                (attached, start.elapsed())
            })
        })
    }
}

impl Started {
    /// Ends the stub, and with it the lease; tells how long it took until nothing was left.
    pub fn end(mut self) -> Duration {
        let start = Instant::now();
        let _ = self.process.kill();
        while fs::read_dir(RECORDS).expect("the daemon's state").next().is_some() {
            thread::sleep(Duration::from_micros(100));
        }
        let took = start.elapsed();
        let _ = self.process.wait();
        took
    }
}
