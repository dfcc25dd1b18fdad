//! The daemon describes itself, by reflection.

use crate::caller::{Caller, Site};

const SERVICES: [&str; 5] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "v6pod.v1.Attachments",
    "v6pod.v1.Daemon",
    "v6pod.v1.Networks",
];

/// Describes a method and the messages it takes and gives, which have to be found too.
#[track_caller]
fn describe_method(caller: &Caller, method: &str) {
    let described = caller.told(&["describe", &method.replace('/', ".")]).join("\n");
    assert!(described.contains("is a method:"), "{described}");
    // rpc Get ( .v6pod.v1.GetRequest ) returns ( .v6pod.v1.GetResponse );
    let words = described.split_whitespace();
    let messages: Vec<_> = words.filter_map(|word| word.strip_prefix('.')).collect();
    assert_eq!(messages.len(), 2, "{described}");
    for message in messages {
        let described = caller.told(&["describe", message]).join("\n");
        assert!(described.starts_with(&format!("{message} is a message:")), "{described}");
    }
}

#[test]
fn everything_is_listed_and_described() {
    let site = Site::new(&["alice"]);
    for caller in [site.root(), site.user("alice")] {
        assert_eq!(caller.told(&["list"]), SERVICES);
        for service in SERVICES {
            let described = caller.told(&["describe", service]).join("\n");
            assert!(described.starts_with(&format!("{service} is a service:")), "{described}");
        }
    }
    let alice = site.user("alice");
    let methods = alice.methods();
    assert!(methods.len() >= 12, "{methods:?}");
    methods.iter().for_each(|method| describe_method(&alice, method));
    let attachment = alice.told(&["describe", "v6pod.v1.Attachment"]).join("\n");
    for field in ["string address = 7;", "google.protobuf.Timestamp created = 14;", "STATE_DETACHING = 3;"] {
        assert!(attachment.contains(field), "{attachment}");
    }
}

#[test]
fn a_request_can_be_written_from_its_description() {
    let site = Site::new(&["alice"]);
    let alice = site.user("alice");
    let template = alice.grpcurl(&["-msg-template"], &["describe", "v6pod.v1.ActivateRequest"]).run();
    let fields = ["network", "containerId", "name", "interface", "address", "noDefaultRoute"];
    assert!(fields.iter().all(|field| template.stdout.contains(&format!("\"{field}\""))), "{template}");
}
