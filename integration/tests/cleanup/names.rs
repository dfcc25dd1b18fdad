//! Names in Consul.

use serde_json::json;

use crate::site::{Site, tells};

const CONSUL: &str = "[consul]\nprobation = 1\nsync = 1\n";

#[test]
fn names_of_ours_go_and_others_stay() {
    let site = Site::new();
    let consul = site.host.consul();
    let mut daemon = site.daemon(CONSUL);
    let (namespace, _) = site.attach("web");
    consul.put("agent/service/register", &json!({"ID": "v6pod-00000000-0123456789ab", "Name": "other"}));
    consul.put("agent/service/register", &json!({"ID": "web2", "Name": "web2"}));
    v6pod_integration::eventually(v6pod_integration::LATER, || {
        match consul.lookup("web.service.consul", "AAAA").as_slice() {
            [] => Err(daemon.log()),
            _ => Ok(()),
        }
    });
    daemon.stop();
    assert_eq!(consul.lookup("web.service.consul", "AAAA").len(), 1, "a stop leaves names as they are");
    let done = site.done(&[]);
    assert!(tells(&done, "name web.service.consul removed"), "{done:?}");
    assert!(!done.iter().any(|line| line.contains("other") || line.contains("web2")), "{done:?}");
    let left = consul.get("agent/services");
    let mut left: Vec<_> = left.as_object().expect("services").keys().collect();
    left.sort();
    assert_eq!(left, ["v6pod-00000000-0123456789ab", "web2"]);
    namespace.kill();
    site.is_as_before();
}

#[test]
fn an_agent_that_is_away_is_asked_again_the_next_time() {
    let site = Site::new();
    let mut consul = v6pod_integration::Consul::on_disk(&site.host);
    let mut daemon = site.daemon(CONSUL);
    let (namespace, _) = site.attach("web");
    v6pod_integration::eventually(v6pod_integration::LATER, || {
        match consul.lookup("web.service.consul", "AAAA").as_slice() {
            [] => Err(daemon.log()),
            _ => Ok(()),
        }
    });
    daemon.stop();
    consul.stop();
    let output = site.try_cleanup(&[]);
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(output.stdout.contains("names") && output.stdout.contains("failed"), "{output}");
    // All but the names is done, and what is needed for those is kept.
    assert!(site.state().contains(&"instance".to_owned()), "{output}");
    namespace.kill();
    site.is_as_before();
    consul.start();
    let done = site.done(&[]);
    assert!(tells(&done, "name web.service.consul removed"), "{done:?}");
    assert_eq!(consul.lookup("web.service.consul", "AAAA"), Vec::<String>::new());
    assert_eq!(site.state(), ["audit"]);
}
