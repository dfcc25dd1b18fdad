//! After a crash, and with records or a configuration that cannot be read.

use std::os::unix::process::ExitStatusExt as _;

use v6pod_integration::{LATER, Namespaces};

use crate::site::{Site, tells};

#[test]
fn after_kill_9() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let (first, _) = site.attach("first");
    let (second, _) = site.attach("second");
    daemon.kill9();
    let done = site.done(&[]);
    assert_eq!(done.iter().filter(|line| line.starts_with("link ")).count(), 2, "{done:?}");
    first.kill();
    second.kill();
    site.is_as_before();
    assert_eq!(site.state(), ["audit"]);
    assert!(!site.has("/run/v6pod"));
}

/// The steps in whose midst an attach or a detach leaves something.
const STEPS: [&str; 8] = [
    "attach.recorded",
    "attach.link",
    "attach.port",
    "attach.neighbour",
    "attach.up",
    "attach.inside",
    "detach.neighbour",
    "detach.link",
];

#[test]
fn killed_in_the_midst_of_an_attach_or_a_detach() {
    let site = Site::new();
    // What sysctls were is all that nothing but the records can tell.
    let all_but_sysctls = "find /var/lib/v6pod -mindepth 1 -maxdepth 1 ! -name sysctls.json -exec rm -r {} +";
    for lost in ["true", "rm -r /var/lib/v6pod/attachments", all_but_sysctls] {
        for step in STEPS {
            let mut daemon = site.daemon("");
            daemon.stop();
            daemon.fault(Some(step)).start();
            let alice = site.alice();
            let namespace = Namespaces::new(&alice, 1);
            let output = alice.try_attach(&namespace, "web");
            if step.starts_with("detach") {
                let id = v6pod_integration::attached(&output.stdout).remove(0).id;
                site.host.try_run(["v6pod", "detach", &id]);
            }
            let status = daemon.wait(LATER);
            assert_eq!(
                status.signal(),
                Some(9),
                "{step}: v6podd did not die as it was told\n{}",
                daemon.log()
            );
            site.host.sh(lost);
            let output = site.try_cleanup(&["--purge"]);
            assert!(output.success(), "{step}, {lost}: {output}");
            namespace.kill();
            site.is_as_before();
        }
    }
}

#[test]
fn with_broken_records() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let (namespace, attached) = site.attach("web");
    daemon.stop();
    for (file, text) in [
        (format!("attachments/{}.json", attached.id), "{\"version\":1,\"bo"),
        ("attachments/000000000001.json".to_owned(), "\0\0\0"),
        ("attachments/000000000002.new".to_owned(), ""),
        ("instance".to_owned(), "nonsense"),
        ("key".to_owned(), ""),
        ("prefix".to_owned(), "nonsense"),
        ("guard".to_owned(), "nonsense"),
    ] {
        site.host.write(format!("/var/lib/v6pod/{file}"), text);
    }
    let done = site.done(&[]);
    assert!(tells(&done, &format!("link v6p{} removed", attached.id)), "{done:?}");
    assert!(tells(&done, "bridge v6pod0 removed"), "{done:?}");
    assert!(tells(&done, "rules nftables bridge v6pod"), "{done:?}");
    namespace.kill();
    site.is_as_before();
    assert_eq!(site.state(), ["audit"]);
}

#[test]
fn what_sysctls_were_is_not_guessed() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    daemon.stop();
    let kept = site.host.sh("cat /var/lib/v6pod/sysctls.json").stdout;
    site.host.write("/var/lib/v6pod/sysctls.json", "{\"/proc");
    let output = site.try_cleanup(&[]);
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.stderr.contains("sysctls.json could not be cleaned up: what sysctls were"), "{output}");
    assert!(site.state().contains(&"instance".to_owned()), "what is needed to try again is gone: {output}");
    // Mended, it is done to its end.
    site.host.write("/var/lib/v6pod/sysctls.json", kept);
    site.cleanup(&[]);
    site.is_as_before();
    assert_eq!(site.state(), ["audit"]);
}

#[test]
fn without_a_configuration() {
    let site = Site::new();
    let mut daemon = site
        .host
        .daemon("[network.a]\nprefix = \"2001:db8:1::/80\"\n[network.b]\nprefix = \"2001:db8:2::/80\"\n");
    let (namespace, _) = site.attach("web");
    daemon.stop();
    site.host.run(["rm", "-r", "/etc/v6pod"]);
    let done = site.done(&[]);
    assert!(tells(&done, "bridge v6b-a removed") && tells(&done, "bridge v6b-b removed"), "{done:?}");
    namespace.kill();
    site.is_as_before();
}

#[test]
fn with_a_broken_configuration() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    let (namespace, _) = site.attach("web");
    daemon.stop();
    daemon.configure("prefix = nonsense");
    let output = site.try_cleanup(&[]);
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.stdout.contains("/etc/v6pod/v6podd.toml") && output.stdout.contains("failed"), "{output}");
    namespace.kill();
    site.is_as_before();
    // The records stay for the next time, which tells no more of them than that.
    daemon.configure("");
    let again = site.done(&[]);
    assert!(tells(&again, "state /var/lib/v6pod removed"), "{again:?}");
    assert!(!tells(&again, "link "), "{again:?}");
}
