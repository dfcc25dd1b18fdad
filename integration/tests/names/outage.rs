//! Consul goes away and comes back: containers do not notice, names are right soon after.

use std::{
    thread,
    time::{Duration, Instant},
};

use v6pod_integration::{Consul, Daemon, Host, LATER, User, eventually};

use crate::site::{BACK, Site, address, configuration, run, stop};

/// How long Consul is away in the long tests: longer than the daemon's longest pause between attempts.
const AWAY: Duration = Duration::from_secs(36);

/// How many times a container is started and stopped to measure how long that takes.
const ROUNDS: usize = 5;

/// What it takes to start a container and to stop it again: the middle one of several times each.
#[derive(Debug, Clone, Copy)]
struct Pace {
    start: Duration,
    stop: Duration,
}

impl Pace {
    fn measure(user: &User) -> Self {
        let (mut starts, mut stops): (Vec<_>, Vec<_>) = (0..ROUNDS)
            .map(|round| {
                let name = format!("pace{round}");
                let start = timed(|| run(user, &name));
                let stop = timed(|| stop(user, &name));
                user.podman(["rm", &name]);
                (start, stop)
            })
            .unzip();
        starts.sort();
        stops.sort();
        Self { start: starts[ROUNDS / 2], stop: stops[ROUNDS / 2] }
    }

    /// Asserts that this is as fast as before. The margin is for the machine, which others use too; who waited
    /// for a Consul that hangs would wait for 5 s, each time.
    #[track_caller]
    fn as_fast_as(self, before: Self) {
        eprintln!("with Consul {before:?}, without {self:?}");
        let limit = |time: Duration| time * 2 + Duration::from_secs(2);
        assert!(self.start < limit(before.start), "starting: {self:?}, before {before:?}");
        assert!(self.stop < limit(before.stop), "stopping: {self:?}, before {before:?}");
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Containers that start and end around the time that Consul is away.
struct Crowd {
    site: Site,
    alice: User,
    before: Pace,
    stays: String,
    goes: String,
}

impl Crowd {
    /// Two containers with names in Consul.
    fn new(consul: fn(&Host) -> Consul) -> Self {
        let site = Site::with(&["alice"], consul, "");
        let alice = site.host.user("alice");
        let before = Pace::measure(&alice);
        let (stays, goes) = (site.start(&alice, "stays"), site.start(&alice, "goes"));
        Self { site, alice, before, stays, goes }
    }

    /// While Consul is away: one ends, one comes, several come and go, at full speed. Gives the address of
    /// the one that came.
    fn change(&self) -> String {
        let away = Instant::now();
        stop(&self.alice, "goes");
        Pace::measure(&self.alice).as_fast_as(self.before);
        run(&self.alice, "comes");
        let comes = address(&self.alice, "comes");
        eventually(LATER, || {
            self.site.in_dns("stays", &self.stays)?;
            self.site.in_dns("comes", &comes)?;
            self.site.absent_in_dns("goes")
        });
        eventually(LATER, || {
            let consul = self.site.registry("consul");
            let knows = consul["healthy"] == false && consul["error"] != "" && consul["names"] == 2;
            if knows { Ok(()) } else { Err(format!("{consul:#}")) }
        });
        assert_eq!(self.site.registry("dns")["healthy"], true);
        eprintln!("changes were over {:?} after Consul went", away.elapsed());
        comes
    }

    /// Consul is back as of now.
    fn are_right(&self, comes: &str) {
        let back = Instant::now();
        eventually(BACK, || {
            self.site.in_consul("stays", &self.stays)?;
            self.site.in_consul("comes", comes)?;
            self.site.absent("goes", &self.goes)?;
            (0..ROUNDS).try_for_each(|round| self.site.absent_in_consul(&format!("pace{round}")))
        });
        eprintln!("names were right {:?} after Consul was back", back.elapsed());
        assert_eq!(self.site.consul.get("agent/services").as_object().map(serde_json::Map::len), Some(2));
        assert_eq!(self.site.registry("consul")["healthy"], true);
        // And everything goes on as before.
        stop(&self.alice, "stays");
        self.site.ends("stays", &self.stays);
        self.site.start(&self.alice, "later");
    }
}

#[test]
fn case_25_consul_is_away_and_comes_back_with_all_it_had() {
    let mut crowd = Crowd::new(Consul::on_disk);
    crowd.site.consul.stop();
    let away = Instant::now();
    let comes = crowd.change();
    thread::sleep(AWAY.saturating_sub(away.elapsed()));
    crowd.site.consul.start();
    crowd.are_right(&comes);
}

#[test]
fn case_26_consul_is_away_and_comes_back_empty() {
    let mut crowd = Crowd::new(Consul::in_memory);
    crowd.site.consul.kill9();
    let away = Instant::now();
    let comes = crowd.change();
    thread::sleep(AWAY.saturating_sub(away.elapsed()));
    crowd.site.consul.start();
    assert!(crowd.site.consul.get("catalog/service/goes").as_array().is_some_and(Vec::is_empty));
    crowd.are_right(&comes);
}

#[test]
fn case_25_consul_hangs() {
    let crowd = Crowd::new(Consul::in_memory);
    // Connections are accepted by the kernel, and nothing ever comes back.
    crowd.site.host.run(["pkill", "-STOP", "-x", "consul"]);
    let comes = crowd.change();
    crowd.site.host.run(["pkill", "-CONT", "-x", "consul"]);
    crowd.are_right(&comes);
}

#[test]
fn case_26_consul_forgets_everything_unnoticed() {
    let mut site = Site::new(&["alice"]);
    let alice = site.host.user("alice");
    let web = site.start(&alice, "web");
    site.consul.kill9();
    site.consul.start();
    let back = Instant::now();
    assert_eq!(site.absent_in_consul("web"), Ok(()));
    eventually(BACK, || site.in_consul("web", &web));
    eprintln!("the name was back {:?} after Consul", back.elapsed());
}

#[test]
fn case_25_consul_is_away_when_the_daemon_starts() {
    let host = Host::new("one", &["alice"]);
    let alice = host.user("alice");
    let mut consul = host.consul();
    consul.kill9();
    let mut daemon = Daemon::new(&host, &configuration(""));
    let started = timed(|| daemon.start());
    eprintln!("without Consul the daemon started within {started:?}");
    let mut site = Site { daemon, consul, host };
    let consul = site.registry("consul");
    assert!(consul["healthy"] == false && consul["error"] != "", "{consul:#}");
    run(&alice, "web");
    run(&alice, "gone");
    let web = address(&alice, "web");
    assert_eq!(site.in_dns("web", &web), Ok(()));
    stop(&alice, "gone");
    site.consul.start();
    eventually(BACK, || site.in_consul("web", &web));
    assert_eq!(site.absent_in_consul("gone"), Ok(()));
    site.start(&alice, "later");
}
