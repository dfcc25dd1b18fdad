//! kill -9 of the daemon right after each step, with a container that is up all the time.

use v6pod_integration::{Attached, Background, LATER, Namespaces, Snapshot, eventually, test_client};

use crate::{
    site::{Bystander, Site},
    steps::steps,
};

/// A host whose daemon is to be killed, and what it was like before.
struct Scene {
    site: Site,
    bystander: Bystander,
    before: Snapshot,
}

impl Scene {
    fn new() -> Self {
        let site = Site::with_consul();
        let bystander = Bystander::new(&site);
        eventually(LATER, || site.consul_knows(&["web"]));
        Self { before: site.host.snapshot(), site, bystander }
    }

    /// The daemon is running again: the victim is whole or gone, all else is as before. The victim's namespace
    /// is still there, so nothing is gone only because the namespace is.
    fn look(&self, step: &str, whole: Option<&Attached>, namespace: &Namespaces) {
        let bystander = &self.bystander.attached;
        let (site, web) = (&self.site, &bystander.id[..]);
        if let Some(victim) = whole {
            site.only(&[web, &victim.id]).unwrap_or_else(|error| panic!("{step}: {error}"));
            eventually(LATER, || site.whole(victim, "victim").map_err(|error| format!("{step}: {error}")));
        } else {
            site.only(&[web]).unwrap_or_else(|error| panic!("{step}: {error}"));
            let links = namespace.inside(&["ip", "-o", "link"]).run();
            assert_eq!(links.stdout.lines().count(), 1, "{step}: {links}");
            assert_eq!(site.lookup("victim"), "", "{step}");
        }
        // The socket is there before the resolver is.
        eventually(LATER, || site.whole(bystander, "web").map_err(|error| format!("{step}: {error}")));
    }

    /// The namespace ends, and nothing at all is left.
    fn clear(&self, step: &str, namespace: Namespaces) {
        namespace.kill();
        let same =
            || self.before.same_as(&self.site.host.snapshot()).map_err(|error| format!("{step}: {error}"));
        eventually(LATER, same);
        eventually(LATER, || self.site.only(&[&self.bystander.attached.id]));
        eventually(LATER, || self.site.consul_knows(&["web"]).map_err(|error| format!("{step}: {error}")));
    }

    /// What the dead daemon's record says has to come of the victim.
    fn is_to_be_whole(&self, held: bool) -> Option<String> {
        let web = format!("{}.json", self.bystander.attached.id);
        let records = self.site.records();
        let id = records.iter().find(|name| **name != web)?.strip_suffix(".json")?;
        let (state, leased) = self.site.record(id)?;
        (state == "active" && (held || !leased)).then(|| id.to_owned())
    }
}

fn die_attaching(client: &[&str]) {
    let mut scene = Scene::new();
    for step in steps("attach") {
        let namespace = Namespaces::new(&scene.site.alice, 1);
        scene.site.restart_with(step);
        let line = format!("{} victim\n", namespace.pids()[0]);
        let refused = test_client(&scene.site.alice, client, &line).try_run().expect_failure();
        assert!(refused.stdout.contains("v6podd hung up"), "{step}: {refused}");
        scene.site.wait_for_death();
        let whole = scene.is_to_be_whole(false);
        scene.site.start();
        let whole = whole.map(|id| Attached { id, ..scene.site.named("victim") });
        scene.look(step, whole.as_ref(), &namespace);
        scene.clear(step, namespace);
    }
    scene.bystander.lost_nothing();
}

#[test]
fn case_27_attaching_what_lasts_as_long_as_its_namespace() {
    die_attaching(&["attach", "1"]);
}

#[test]
fn case_27_attaching_with_a_lease_that_the_client_then_gives_up() {
    die_attaching(&["attach", "1", "hold"]);
}

#[test]
fn case_27_attaching_a_container_with_the_stand_in_for_slirp4netns() {
    let mut scene = Scene::new();
    let alice = scene.site.alice.clone();
    for step in steps("attach") {
        scene.site.restart_with(step);
        // It starts all the same.
        alice.podman(["run", "-d", "--name", "victim", "busybox", "sleep", "1000"]);
        scene.site.wait_for_death();
        scene.site.start();
        let bystander = &scene.bystander.attached;
        scene.site.only(&[&bystander.id]).unwrap_or_else(|error| panic!("{step}: {error}"));
        let links = alice.podman(["exec", "victim", "ip", "-o", "link"]);
        assert!(links.stdout.contains("tap0") && !links.stdout.contains("v6pod0"), "{step}: {links}");
        alice.podman(["rm", "--force", "--time=0", "victim"]);
        eventually(LATER, || scene.before.same_as(&scene.site.host.snapshot()));
        eventually(LATER, || scene.site.consul_knows(&["web"]));
    }
    scene.bystander.lost_nothing();
}

/// Kills the daemon at each step of a detach that `end` brings about; the victim has a lease, which `end`
/// may take.
fn die_detaching(end: impl Fn(&Site, &Attached, &mut Option<Background>)) {
    let mut scene = Scene::new();
    for step in steps("detach") {
        let namespace = Namespaces::new(&scene.site.alice, 1);
        let (client, victim) = scene.site.alice.hold(&namespace, "victim");
        let mut client = Some(client);
        eventually(LATER, || scene.site.consul_knows(&["victim", "web"]));
        scene.site.restart_with(step);
        // It has outlived an orderly restart already.
        eventually(LATER, || scene.site.whole(&victim, "victim"));
        end(&scene.site, &victim, &mut client);
        scene.site.wait_for_death();
        let whole = scene.is_to_be_whole(client.is_some());
        scene.site.start();
        scene.look(step, whole.map(|_| &victim), &namespace);
        drop(client);
        scene.clear(step, namespace);
    }
    scene.bystander.lost_nothing();
}

#[test]
fn case_27_detaching_because_somebody_says_so() {
    die_detaching(|site, victim, _| {
        site.try_deactivate(&victim.id).expect_failure();
    });
}

#[test]
fn case_27_detaching_because_the_lease_has_ended() {
    die_detaching(|_, _, client| drop(client.take()));
}

#[test]
fn case_27_detaching_because_the_namespace_has_ended() {
    let mut scene = Scene::new();
    for step in steps("detach") {
        let (namespace, _) = scene.site.attach("victim");
        scene.site.restart_with(step);
        namespace.kill();
        scene.site.wait_for_death();
        scene.site.start();
        let bystander = &scene.bystander.attached;
        scene.site.only(&[&bystander.id]).unwrap_or_else(|error| panic!("{step}: {error}"));
        assert_eq!(scene.site.lookup("victim"), "", "{step}");
        eventually(LATER, || scene.site.whole(bystander, "web").map_err(|error| format!("{step}: {error}")));
        eventually(LATER, || scene.before.same_as(&scene.site.host.snapshot()));
        eventually(LATER, || scene.site.consul_knows(&["web"]));
    }
    scene.bystander.lost_nothing();
}

#[test]
fn case_27_recovering() {
    let mut scene = Scene::new();
    // A start that finishes what an earlier run began passes these steps.
    for step in ["detach.neighbour", "detach.link"] {
        let namespace = Namespaces::new(&scene.site.alice, 1);
        scene.site.restart_with("attach.up");
        scene.site.alice.try_attach(&namespace, "victim").expect_failure();
        scene.site.wait_for_death();
        scene.site.daemon.fault(Some(step)).launch();
        scene.site.wait_for_death();
        scene.site.start();
        scene.look(step, None, &namespace);
        scene.clear(step, namespace);
    }
    scene.bystander.lost_nothing();
}
