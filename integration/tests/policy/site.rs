//! A host with two users, bob and the attacker alice, and a daemon with rules.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
    thread,
};

use tonic::{Code, Status};
use v6pod_integration::{Daemon, Host, Namespaces, User};
use v6pod_proto::v1::{
    ActivateRequest, ActivateResponse, Attachment, ExplainRequest, ExplainResponse, NetworksGetRequest,
    NetworksListRequest, StatusRequest, daemon_client::DaemonClient, networks_client::NetworksClient,
};

use crate::{
    caller::{Asked, Client},
    holder::Holder,
};

/// The networks, after which rules follow.
pub const NETWORKS: &str = "\
[network.default]
prefix = \"2001:db8:1::/80\"
default = true
[network.other]
prefix = \"2001:db8:2::/80\"
";
/// The line that the first of the rules is in.
pub const FIRST: usize = 6;
pub const FILE: &str = "/etc/v6pod/v6podd.toml";
/// The parts are dropped in this order.
pub struct Site {
    pub daemon: Daemon,
    pub alice: User,
    pub bob: User,
    pub folder: File,
    pub host: Host,
}

impl Site {
    /// With these rules.
    #[track_caller]
    pub fn new(rules: &str) -> Self {
        Self::with(&format!("{NETWORKS}{rules}"))
    }

    /// With this configuration.
    #[track_caller]
    pub fn with(configuration: &str) -> Self {
        let host = Host::builder("one").user("alice").user("bob").without_wrapper().build();
        let daemon = host.daemon(configuration);
        let (alice, bob) = (host.user("alice"), host.user("bob"));
        let folder = File::open(host.path("/run/v6pod")).expect("the daemon made it");
        Self { daemon, alice, bob, folder, host }
    }

    /// Starts the daemon again after it was killed: the socket is in the same folder.
    #[track_caller]
    pub fn kill_and_restart(&mut self) {
        self.daemon.kill9();
        self.daemon.start();
    }

    /// A connection of a user's that passes these descriptors.
    pub fn client(&self, uid: u32, descriptors: &[&OwnedFd]) -> Client {
        let borrowed: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
        Client::new(&self.folder, uid, &borrowed)
    }

    /// An Activate on a connection of its own.
    pub fn activate(
        &self,
        uid: u32,
        net: &OwnedFd,
        request: impl Into<Asked>,
    ) -> Result<ActivateResponse, Status> {
        self.client(uid, &[net]).activate(request)
    }

    /// An Activate that has to go well.
    #[track_caller]
    pub fn attach(&self, user: &User, net: &OwnedFd, request: impl Into<Asked>) -> Attachment {
        let answer = self.activate(user.uid(), net, request).unwrap_or_else(|status| panic!("{status}"));
        answer.attachment.expect("the answer holds it")
    }

    /// What Explain tells.
    pub fn explain(&self, uid: u32, request: ExplainRequest) -> Result<ExplainResponse, Status> {
        let client = self.client(uid, &[]);
        client.wait(DaemonClient::new(client.channel()).explain(request))
    }

    /// What Explain tells of the default network.
    #[track_caller]
    pub fn told(&self, uid: u32) -> ExplainResponse {
        self.explain(uid, ExplainRequest::default()).expect("everybody may ask")
    }

    /// The networks that a user is shown: by List, Status and Get, which have to agree.
    #[track_caller]
    pub fn shown(&self, uid: u32) -> Vec<String> {
        let client = self.client(uid, &[]);
        let mut networks = NetworksClient::new(client.channel());
        let mut daemon = DaemonClient::new(client.channel());
        let list = client.wait(networks.list(NetworksListRequest {})).expect("List").networks;
        let status = client.wait(daemon.status(StatusRequest {})).expect("Status").networks;
        let names = |all: Vec<v6pod_proto::v1::Network>| all.into_iter().map(|one| one.name).collect();
        let list: Vec<String> = names(list);
        assert_eq!(list, names(status));
        for name in ["default", "other"] {
            let got = client.wait(networks.get(NetworksGetRequest { name: name.to_owned() }));
            assert_eq!(got.is_ok(), list.iter().any(|shown| shown == name), "{name}: {got:?}");
        }
        list
    }

    /// Everybody's attachments.
    #[track_caller]
    pub fn all(&self) -> Vec<Attachment> {
        self.client(0, &[]).list().expect("root may list")
    }

    /// The ports on the bridges.
    pub fn ports(&self) -> usize {
        self.host.run(["ip", "-o", "link", "show", "type", "veth"]).stdout.lines().count()
    }

    /// Namespaces of a user's, opened.
    #[track_caller]
    pub fn namespaces(&self, user: &User, count: usize) -> Vec<OwnedFd> {
        let namespaces = Namespaces::new(user, count);
        let open = |pid: &u32| File::open(self.host.path(format!("/proc/{pid}/ns/net")));
        let opened = namespaces.pids().iter().map(|pid| open(pid).expect("a namespace").into()).collect();
        // The descriptors keep them.
        namespaces.kill();
        opened
    }

    /// Attaches all at the same time, as these users.
    pub fn at_once(&self, callers: &[(u32, &OwnedFd)]) -> Vec<Result<Attachment, Status>> {
        let barrier = std::sync::Barrier::new(callers.len());
        thread::scope(|scope| {
            let calls: Vec<_> = callers
                .iter()
                .map(|(uid, net)| {
                    scope.spawn(|| {
                        let client = self.client(*uid, &[net]);
                        barrier.wait();
                        client.activate(()).map(|answer| answer.attachment.expect("the answer holds it"))
                    })
                })
                .collect();
            calls.into_iter().map(|call| call.join().expect("the thread ends well")).collect()
        })
    }
}

/// Panics unless a call was refused with this code and a sentence that has all of this in it.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, words: &[&str]) -> Status {
    let status = outcome.expect_err("a refusal");
    assert_eq!(status.code(), code, "{status}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
    }
    status
}

/// Where a rule stands, as refusals cite it.
pub fn at(line: usize) -> String {
    format!("{FILE}:{line}")
}

pub fn named(name: &str) -> ActivateRequest {
    ActivateRequest { name: name.to_owned(), ..ActivateRequest::default() }
}

pub fn on(network: &str) -> ActivateRequest {
    ActivateRequest { network: network.to_owned(), ..ActivateRequest::default() }
}

/// A namespace of a user's, held.
pub fn own(user: &User) -> (Holder, OwnedFd) {
    let holder = Holder::own(user);
    let net = holder.net();
    (holder, net)
}
