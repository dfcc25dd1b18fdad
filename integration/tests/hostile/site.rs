//! A host with a daemon, an attacker (alice) and somebody who wants to be served meanwhile (bob).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;
use tonic::{Code, Status};
use v6pod_integration::{Daemon, Host, LATER, Snapshot, UNLIMITED, User, eventually};
use v6pod_proto::v1::ActivateResponse;

use crate::{
    caller::{Asked, Client},
    holder::Holder,
};

/// The network that all of these tests have, as a table to be continued.
pub const NETWORK: &str = "[network.default]\nprefix = \"2001:db8:1::/80\"\n";

/// No call takes as long, whatever else the machine does: what an attacker holds up is held up until the test ends.
const HANGS: Duration = Duration::from_secs(10);
/// The parts are dropped in this order.
pub struct Site {
    pub daemon: Daemon,
    pub alice: User,
    pub bob: User,
    bobs: Holder,
    pub folder: File,
    pid: Pid,
    before: Traces,
    prompt: Duration,
    pub host: Host,
}

/// All that an attack could leave behind.
#[derive(PartialEq)]
struct Traces {
    network: Snapshot,
    records: BTreeMap<String, String>,
    descriptors: usize,
}

impl Site {
    /// With this configuration, settled. The rules are those of another test: here nobody is to be stopped by
    /// them.
    #[track_caller]
    pub fn new(configuration: &str) -> Self {
        let host = Host::builder("one").user("alice").user("bob").without_wrapper().build();
        let mut daemon = host.daemon(&format!("{configuration}{UNLIMITED}"));
        let (alice, bob) = (host.user("alice"), host.user("bob"));
        let bobs = Holder::own(&bob);
        let folder = File::open(host.path("/run/v6pod")).expect("the daemon made it");
        let pid = daemon.process().pid();
        use_bridge(&host, &folder, bob.uid(), bobs.net().as_fd());
        let quiet = (0..5).map(|_| serve(&folder, bob.uid(), bobs.net().as_fd())).max().unwrap_or_default();
        // An attach takes milliseconds.
        let prompt = quiet * 10 + Duration::from_secs(1);
        let before = Traces::at_rest(&host, pid);
        Self { daemon, alice, bob, bobs, folder, pid, before, prompt, host }
    }

    /// A connection of a user's that passes these descriptors.
    pub fn client(&self, uid: u32, descriptors: &[&OwnedFd]) -> Client {
        let borrowed: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
        Client::new(&self.folder, uid, &borrowed)
    }

    /// An Activate of alice's, on a connection of its own.
    #[track_caller]
    pub fn alices(
        &self,
        descriptors: &[&OwnedFd],
        request: impl Into<Asked>,
    ) -> Result<ActivateResponse, Status> {
        self.activate(self.alice.uid(), descriptors, request)
    }

    /// An Activate, on a connection of its own, that nobody holds up.
    #[track_caller]
    pub fn activate(
        &self,
        uid: u32,
        descriptors: &[&OwnedFd],
        request: impl Into<Asked>,
    ) -> Result<ActivateResponse, Status> {
        let client = self.client(uid, descriptors);
        let start = Instant::now();
        let answer = client.activate(request);
        assert!(start.elapsed() < HANGS, "it took {:?}: {answer:?}", start.elapsed());
        answer
    }

    /// Ends an attachment as the user.
    #[track_caller]
    pub fn deactivate(&self, uid: u32, id: &str) {
        self.client(uid, &[]).deactivate(id).unwrap_or_else(|status| panic!("Deactivate of {id}: {status}"));
    }

    /// Attaches and detaches a namespace of bob's, promptly. Whatever else the machine does, it does not do so three
    /// times.
    #[track_caller]
    pub fn serves_bob(&self) {
        let took = [(); 3].map(|()| {
            let took = serve(&self.folder, self.bob.uid(), self.bobs.net().as_fd());
            assert!(took < HANGS, "bob waited {took:?}");
            took
        });
        assert!(took.iter().any(|took| *took < self.prompt), "bob waited {took:?}");
    }

    /// Nothing on the host differs from before the attack, bob is served, and no descriptor is left.
    #[track_caller]
    pub fn is_unharmed(&self) {
        self.serves_bob();
        eventually(LATER, || self.is_unchanged());
        assert_eq!(self.count(), 0, "attachments are left");
    }

    fn is_unchanged(&self) -> Result<(), String> {
        let now = Traces::look(&self.host, self.pid);
        self.before.network.same_as(&now.network)?;
        if self.before.records != now.records {
            return Err(format!("records: {:#?}", now.records));
        }
        if self.before.descriptors != now.descriptors {
            let before = self.before.descriptors;
            return Err(format!(
                "{} descriptors, before {before}\n{}",
                now.descriptors,
                open_files(self.pid)
            ));
        }
        Ok(())
    }

    /// How many attachments there are, whoever owns them.
    pub fn count(&self) -> usize {
        self.client(0, &[]).list().expect("root may list").len()
    }

    /// The names of the links on the host that are the daemon's.
    pub fn ports(&self) -> Vec<String> {
        let output = self.host.run(["ip", "-brief", "link", "show", "type", "veth"]);
        output.stdout.lines().filter_map(|line| line.split(['@', ' ']).next().map(str::to_owned)).collect()
    }

    /// The daemon's open descriptors.
    pub fn descriptors(&self) -> usize {
        descriptors(self.pid)
    }

    /// What anybody else's call may take while the daemon is under attack.
    pub fn prompt(&self) -> Duration {
        self.prompt
    }

    /// The daemon's process, as the machine numbers it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The daemon's resident memory in KiB.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("proc_pid_status(5)");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The most of its memory that was resident so far since [`Self::forget_peak`], in KiB.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// From here on [`Self::peak`] counts anew.
    pub fn forget_peak(&self) {
        // proc_pid_clear_refs(5): 5 resets the peak.
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").expect("root may");
    }

    /// How often the daemon's threads were woken so far, or put off while they computed.
    pub fn switches(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("the daemon runs");
        let statuses = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
        let count = |status: String| -> u64 {
            let lines = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
            lines.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
        };
        statuses.map(count).sum()
    }

    /// What the daemon has computed for so far.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("the daemon runs");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // proc_pid_stat(5): fields 14 and 15, in hundredths of a second; the third is the first here.
        let ticks: u64 = fields[11..=12].iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// No line of the log has anything in it that a terminal would act on, or was not begun by the daemon.
    #[track_caller]
    pub fn log_is_clean(&self) {
        for line in self.daemon.log().lines() {
            assert!(!line.chars().any(char::is_control), "{line:?}");
            let level = line.split_whitespace().next().unwrap_or_default();
            assert!(["INFO", "WARN", "ERROR"].contains(&level), "{line:?}");
        }
    }
}

/// Panics unless a call was refused with this code and a sentence that has this in it.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(what: &str, outcome: Result<T, Status>, code: Code, gist: &str) -> Status {
    let status = outcome.expect_err(what);
    assert_eq!(status.code(), code, "{what}: {status}");
    let sentence = status.message();
    assert!(sentence.contains(gist), "{what}: {gist:?} is not in {sentence:?}");
    assert!(sentence.len() < 500 && !sentence.chars().any(char::is_control), "{what}: {sentence:?}");
    status
}

/// Has a first port on the bridge for as long as the bridge needs to notice, and to notice its end: a bridge
/// that had one never again looks as if it had had none.
#[track_caller]
fn use_bridge(host: &Host, folder: &File, uid: u32, namespace: BorrowedFd<'_>) {
    let looks = |state: &str| {
        eventually(LATER, || {
            let bridge = host.run(["ip", "link", "show", "v6pod0"]);
            if bridge.stdout.contains(state) { Ok(()) } else { Err(bridge) }
        });
    };
    let client = Client::new(folder, uid, &[namespace]);
    let attachment = client.activate(()).expect("bob is served").attachment.expect("the answer holds it");
    looks("state UP");
    client.deactivate(&attachment.id).expect("bob is served");
    looks("NO-CARRIER");
}

/// Attaches, lists and detaches, and gives what the slower of the first two took.
#[track_caller]
fn serve(folder: &File, uid: u32, namespace: BorrowedFd<'_>) -> Duration {
    let start = Instant::now();
    let answer = Client::new(folder, uid, &[namespace]).activate(()).expect("bob is served");
    let attached = start.elapsed();
    let id = answer.attachment.expect("the answer holds it").id;
    let client = Client::new(folder, uid, &[]);
    let list = client.list().expect("bob is served");
    let listed = start.elapsed() - attached;
    assert!(list.iter().any(|attachment| attachment.id == id), "{id} is not in {list:?}");
    client.deactivate(&id).expect("bob is served");
    attached.max(listed)
}

impl Traces {
    /// Looks until it sees the same twice: the kernel and the daemon are done with their first caller.
    #[track_caller]
    fn at_rest(host: &Host, pid: Pid) -> Self {
        let mut former = Self::look(host, pid);
        eventually(LATER, || {
            thread::sleep(Duration::from_millis(100));
            let now = Self::look(host, pid);
            let same = now == former;
            former = now;
            if same { Ok(()) } else { Err("it is still changing") }
        });
        former
    }

    #[track_caller]
    fn look(host: &Host, pid: Pid) -> Self {
        Self { network: host.snapshot(), records: records(host), descriptors: descriptors(pid) }
    }
}

/// The records of attachments on the host, by file name.
pub fn records(host: &Host) -> BTreeMap<String, String> {
    let folder = fs::read_dir(host.path("/var/lib/v6pod/attachments")).expect("the daemon made it");
    let files = folder.filter_map(Result::ok).map(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        (entry.file_name().to_string_lossy().into_owned(), text)
    });
    files.collect()
}

fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

fn open_files(pid: Pid) -> String {
    let folder = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
    let links = folder.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()));
    links.collect::<Vec<_>>().join("\n")
}
