//! Ways around the rules: other uids, fewer groups, other names for the same thing.

use tonic::Code;
use v6pod_integration::User;
use v6pod_proto::v1::{ActivateRequest, ExplainRequest};

use crate::{
    holder::{Holder, subordinate},
    site::{FIRST, Site, at, on, own, refused},
};

/// A network namespace that one of a user's subordinate uids made: the first of them is number 1.
fn made_by_subordinate(user: &User, number: u32) -> Holder {
    let line = format!(
        "unshare --user --map-root-user --map-auto setpriv --reuid={number} --regid={number} --clear-groups \
         unshare --user --map-root-user --net sleep infinity"
    );
    Holder::new(user.spawn(line.split_whitespace()))
}

/// Alice attaches one namespace each from many of her uids, and gets this far; who holds the namespaces, and the
/// last refusal.
#[track_caller]
fn attack_from_subordinates(site: &Site, quota: usize) -> (Vec<Holder>, tonic::Status) {
    let first = subordinate(&site.alice);
    let holders: Vec<_> = (1..=20).map(|number| made_by_subordinate(&site.alice, number)).collect();
    let mut refusals = Vec::new();
    for (uid, holder) in (first..).zip(&holders) {
        match site.activate(uid, &holder.net(), ()) {
            // To see and to end it is that uid's own.
            Ok(answer) => assert_eq!(answer.attachment.expect("the answer holds it").uid, uid),
            Err(status) => refusals.push(status),
        }
    }
    let mut uids: Vec<_> = site.all().iter().map(|attachment| attachment.uid).collect();
    uids.sort_unstable();
    uids.dedup();
    // That many uids are one user's.
    assert_eq!((uids.len(), refusals.len()), (quota, 20 - quota), "{refusals:?}");
    (holders, refusals.pop().expect("the last was refused"))
}

#[test]
fn sixty_five_thousand_uids_are_one_user() {
    let mut site = Site::new("[[rule]]\nattachments = 3\n");
    let (_holders, status) = attack_from_subordinates(&site, 3);
    refused(
        Err::<(), _>(status),
        Code::ResourceExhausted,
        &["all 3 attachments", &at(FIRST), "left: 0 of 3"],
    );
    // Nor has alice herself any place left, nor any of the uids after a restart; bob has his.
    let (alice, bob) = (Holder::own(&site.alice), Holder::own(&site.bob));
    let first = subordinate(&site.alice);
    for restarted in [false, true] {
        let outcome = site.activate(site.alice.uid(), &alice.net(), ());
        refused(outcome, Code::ResourceExhausted, &["left: 0 of 3"]);
        let told = site.told(first + 40_000);
        assert_eq!((told.allowed, told.charged_uid, told.uid), (false, site.alice.uid(), first + 40_000));
        if !restarted {
            site.kill_and_restart();
        }
    }
    site.attach(&site.bob, &bob.net(), ());
    // Only the uid itself sees its attachment.
    assert!(site.client(site.alice.uid(), &[]).list().expect("alice may list").is_empty());
    assert_eq!(site.client(first, &[]).list().expect("the uid may list").len(), 1);
}

#[test]
fn sixty_five_thousand_uids_have_one_rate() {
    let site = Site::new("[[rule]]\nrate = 1\nburst = 4\n");
    let (_, status) = attack_from_subordinates(&site, 4);
    refused(Err::<(), _>(status), Code::ResourceExhausted, &["1 times a minute", "0 of 4 activations"]);
}

/// Where subordinate uids come from a directory service, /etc/subuid does not know them. The kernel knows who
/// made the outermost user namespace.
#[test]
fn uids_that_no_file_names_are_one_user_all_the_same() {
    let site = Site::new("[[rule]]\nattachments = 3\n");
    // newuidmap reads it when a namespace is made; the daemon has read it before and sees it go.
    let holders: Vec<_> = (1..=8).map(|number| made_by_subordinate(&site.alice, number)).collect();
    let first = subordinate(&site.alice);
    site.host.write("/etc/subuid", "");
    v6pod_integration::eventually(v6pod_integration::LATER, || {
        if site.told(first).charged_uid == first { Ok(()) } else { Err("still read as it was") }
    });
    let outcomes: Vec<_> =
        (first..).zip(&holders).map(|(uid, holder)| site.activate(uid, &holder.net(), ())).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3, "{outcomes:?}");
    refused(outcomes.into_iter().next_back().expect("eight"), Code::ResourceExhausted, &["left: 0 of 3"]);
}

#[test]
fn a_subordinate_uid_is_bound_by_its_owners_rules() {
    let site = Site::new("[[rule]]\nusers = [\"alice\"]\nallow = false\n");
    let holder = made_by_subordinate(&site.alice, 1);
    let first = subordinate(&site.alice);
    refused(site.activate(first, &holder.net(), ()), Code::PermissionDenied, &[&at(FIRST)]);
    refused(site.activate(first, &holder.net(), on("other")), Code::NotFound, &["no network other"]);
    assert!(site.shown(first).is_empty());
}

/// What the test client or v6pod says in a process of alice's that has dropped all of her groups.
fn without_groups(site: &Site, command: &str) -> v6pod_integration::Output {
    let line = "unshare --user --map-root-user --map-auto setpriv --regid=1 --clear-groups";
    site.alice.try_run(line.split(' ').chain(command.split(' ')))
}

#[test]
fn a_group_cannot_be_dropped() {
    let host = v6pod_integration::Host::builder("one").user("alice").user("bob").without_wrapper().build();
    host.sh("printf 'students:x:990:alice\\n' >>/etc/group");
    let daemon =
        host.daemon(&format!("{}[[rule]]\ngroups = [\"students\"]\nallow = false\n", crate::site::NETWORKS));
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let folder = std::fs::File::open(host.path("/run/v6pod")).expect("the daemon made it");
    let site = Site { daemon, alice, bob, folder, host };

    let plain = site.alice.try_run(["v6pod", "can-i"]);
    assert!(plain.stdout.contains("you may not attach here") && plain.stdout.contains(&at(FIRST)), "{plain}");
    assert!(site.bob.run(["v6pod", "can-i"]).stdout.starts_with("allowed:  "));
    // The control: the kernel knows nothing of her group any more, neither of a primary one of hers.
    let kernel = without_groups(&site, "cat /proc/self/status");
    let line = |name: &str| {
        kernel.stdout.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned()
    };
    assert_eq!((line("Groups:").as_str(), line("Gid:").split('\t').next()), ("", Some("1")), "{kernel}");
    let dropped = without_groups(&site, "v6pod can-i");
    assert!(dropped.stdout.contains("you may not attach here"), "{dropped}");
}

#[test]
fn a_group_that_only_the_process_has_counts_as_well() {
    let site = Site::new("[[rule]]\ngroups = [4242]\n[[rule]]\nallow = false\n");
    let with_group = |group: &str| {
        let uid = format!("--reuid={}", site.alice.uid());
        site.host.try_run(["setpriv", &uid, "--regid=65534", group, "v6pod", "can-i"])
    };
    let member = with_group("--groups=7,4242");
    assert!(member.success() && member.stdout.contains(&at(FIRST)), "{member}");
    assert!(!with_group("--groups=7").success());
}

#[test]
fn nobody_is_asked_about_with_a_claim() {
    let site = Site::new("[[rule]]\nusers = [\"bob\"]\nattachments = 7\n");
    let about = |uid| ExplainRequest { uid: Some(uid), ..ExplainRequest::default() };
    let (alice, bob) = (site.alice.uid(), site.bob.uid());
    for other in [bob, 0, u32::MAX, subordinate(&site.alice)] {
        let outcome = site.explain(alice, about(other));
        refused(outcome, Code::PermissionDenied, &["only administrators may ask"]);
    }
    assert!(site.explain(alice, about(alice)).expect("about herself").allowed);
    let told = site.explain(0, about(bob)).expect("root may");
    assert_eq!((told.uid, told.rule.as_str()), (bob, at(FIRST).as_str()));
    assert_eq!(told.attachments.map(|quota| quota.limit), Some(7));
    let told = site.explain(0, about(subordinate(&site.bob))).expect("root may");
    assert_eq!((told.charged_uid, told.rule.as_str()), (bob, at(FIRST).as_str()));
}

/// Alice may have names of her own alone on one network, and any on the other.
const TWO_NETWORKS: &str = "\
[[rule]]
users = [\"alice\"]
networks = [\"default\"]
names = [\"{user}-*\"]
[[rule]]
users = [\"alice\"]
networks = [\"other\"]
rate = \"unlimited\"
";

#[test]
fn what_is_attached_is_not_renewed_by_the_rules_of_another_network() {
    let site = Site::new(TWO_NETWORKS);
    let (alice, uid) = (own(&site.alice), site.alice.uid());
    let first = site.attach(&site.alice, &alice.1, on("default"));
    let rule = at(FIRST);
    let elsewhere = |name: &str| ActivateRequest { name: name.to_owned(), ..on("other") };
    refused(site.activate(uid, &alice.1, elsewhere("payroll")), Code::PermissionDenied, &["payroll", &rule]);
    assert_eq!(site.all()[0].name, "");
    // The control: on the other network itself she may.
    let there = own(&site.alice);
    assert_eq!(site.attach(&site.alice, &there.1, elsewhere("payroll")).name, "payroll");
    // A call is idempotent whichever network it names, and may fill in what the rules for this one allow.
    assert_eq!(site.attach(&site.alice, &alice.1, on("other")).id, first.id);
    let named = site.attach(&site.alice, &alice.1, elsewhere("alice-web"));
    assert_eq!((&named.id, named.name.as_str(), named.network.as_str()), (&first.id, "alice-web", "default"));
    // What has a name keeps it.
    assert_eq!(site.attach(&site.alice, &alice.1, elsewhere("other")).name, "alice-web");
}

#[test]
fn what_is_attached_is_not_renewed_at_the_rate_of_another_network() {
    let rate = "names = [\"{user}-*\"]\nrate = 1\nburst = 3\n";
    let site = Site::new(&TWO_NETWORKS.replace("names = [\"{user}-*\"]\n", rate));
    let (alice, uid) = (own(&site.alice), site.alice.uid());
    site.attach(&site.alice, &alice.1, on("default"));
    let outcomes: Vec<_> = (0..3).map(|_| site.activate(uid, &alice.1, on("other"))).collect();
    assert!(outcomes[..2].iter().all(Result::is_ok), "{outcomes:?}");
    refused(outcomes[2].clone(), Code::ResourceExhausted, &[&at(FIRST)]);
}
