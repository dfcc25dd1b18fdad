//! The kernel's news cannot be read, for once: it goes on, and what was told meanwhile is found.

use v6pod_integration::eventually;

use crate::site::{LATER, Site};

#[track_caller]
fn wait_for(site: &Site, words: &str) {
    eventually(LATER, || if site.daemon.log().contains(words) { Ok(()) } else { Err(site.daemon.log()) });
}

#[test]
fn case_32_the_link_monitor_goes_on_after_an_error() {
    let mut site = Site::new();
    let before = site.at_rest();
    site.restart_with("fail:monitor.heard");
    let (meanwhile, _) = site.attach("meanwhile");
    let (namespace, kept) = site.attach("kept");
    wait_for(&site, "the link monitor cannot hear the kernel");
    // Most likely before there is another socket; in any case it is noticed.
    meanwhile.kill();
    eventually(LATER, || site.only(&[&kept.id]));
    wait_for(&site, "the link monitor hears the kernel again");
    let (later, _) = site.attach("later");
    later.kill();
    eventually(LATER, || site.only(&[&kept.id]));
    eventually(LATER, || site.whole(&kept, "kept"));
    namespace.kill();
    eventually(LATER, || site.only(&[]));
    eventually(LATER, || before.same_as(&site.host.snapshot()));
}

#[test]
fn case_32_the_guard_goes_on_watching_after_an_error() {
    let mut site = Site::new();
    let (_namespace, web) = site.attach("web");
    let rules = |site: &Site| site.host.run(["nft", "-s", "list", "tables"]).stdout;
    let before = rules(&site);
    assert!(before.contains("v6pod"), "{before}");
    site.restart_with("fail:guard.heard");
    // Its end is not heard, and the rules are restored all the same; the next one's is heard again.
    for _ in 0..2 {
        site.host.run(["nft", "flush", "ruleset"]);
        eventually(LATER, || if rules(&site) == before { Ok(()) } else { Err(rules(&site)) });
    }
    let log = site.daemon.log();
    assert_eq!(log.matches("the guard cannot hear").count(), 1, "{log}");
    assert!(log.contains("author=\"\\\"nft\\\""), "the second was not heard of: {log}");
    eventually(LATER, || site.whole(&web, "web"));
}
