//! Who a caller says it is does not matter; who the kernel says it is does.

use tonic::{Code, Request};
use v6pod_integration::{LATER, Output, User, eventually};
use v6pod_proto::v1::{ActivateRequest, StatusRequest, daemon_client::DaemonClient};

use crate::{
    holder::{Holder, subordinate},
    site::{NETWORK, Site, refused},
};

fn claiming<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    for key in ["uid", "x-uid", "user", "pid", "authorization", "x-forwarded-user", "grpc-peer-uid"] {
        request.metadata_mut().insert(key, "0".parse().expect("metadata"));
    }
    request.metadata_mut().insert_bin("uid-bin", tonic::metadata::MetadataValue::from_bytes(&[0; 4]));
    request
}

#[test]
fn case_13_claims_in_metadata_are_ignored() {
    let site = Site::new(NETWORK);
    let bobs = Holder::own(&site.bob);
    let client = site.client(site.alice.uid(), &[&bobs.net()]);
    let mut daemon = DaemonClient::new(client.channel());
    let status = client.wait(daemon.status(claiming(StatusRequest {}))).expect("everybody may ask");
    assert_eq!((status.caller_uid, status.caller_is_admin), (site.alice.uid(), false));
    let outcome = client.activate(claiming(ActivateRequest::default()));
    let denied = refused("bob's namespace", outcome, Code::PermissionDenied, "does not belong to uid");
    assert!(denied.message().contains(&site.alice.uid().to_string()), "{denied}");
    drop((client, bobs, daemon));
    site.is_unharmed();
}

/// Asks for the daemon's status in a user namespace as podman makes it, as one of its ids.
fn status_in_namespace(user: &User, id: &str) -> Output {
    let ask = ["grpcurl", "-plaintext", "-unix", "/run/v6pod/v6pod.sock", "v6pod.v1.Daemon/Status"];
    let become_id = ["podman", "unshare", "setpriv", "--reuid", id, "--clear-groups"];
    user.run(become_id.iter().chain(&ask))
}

#[test]
fn case_14_a_user_namespace_hides_nobody() {
    let site = Site::new(NETWORK);
    for (id, uid) in [("0", site.alice.uid()), ("1", subordinate(&site.alice))] {
        let status = status_in_namespace(&site.alice, id).json();
        assert_eq!((&status["callerUid"], &status["callerIsAdmin"]), (&uid.into(), &serde_json::Value::Null));
    }
    // The namespace of the user's container is not its processes' own.
    let own = Holder::own(&site.alice);
    let outcome = site.activate(subordinate(&site.alice), &[&own.net()], ());
    refused("a subordinate id", outcome, Code::PermissionDenied, "does not belong to uid");
    drop(own);
    site.is_unharmed();
}

#[test]
fn case_12_a_caller_that_is_gone_before_it_is_accepted_was_still_itself() {
    let site = Site::new(NETWORK);
    let own = Holder::own(&site.alice);
    let script = r#"
import socket
wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
wire.connect("/run/v6pod/v6pod.sock")
net = open("/proc/self/ns/net")
socket.send_fds(wire, [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], [net.fileno()])
"#;
    for _ in 0..20 {
        site.alice.run(["/usr/bin/python3", "-c", script]);
    }
    // The kernel still knows whose the connection was, and root is nobody.
    let log = site.daemon.log();
    assert!(!log.contains("whose caller the kernel does not know"), "{log}");
    eventually(LATER, || if site.count() == 0 { Ok(()) } else { Err("attached") });
    drop(own);
    site.is_unharmed();
}
