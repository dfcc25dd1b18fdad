//! A client in another language, with stubs made from the repository's own .proto files.

use serde_json::{Value, json};
use v6pod_integration::PYTHON;

use crate::caller::{Caller, SOCKET, Site};

/// The contract, by the names the files have for each other.
const PROTOS: [(&str, &str); 3] = [
    ("v6pod/v1/attachments.proto", include_str!("../../../proto/v6pod/v1/attachments.proto")),
    ("v6pod/v1/daemon.proto", include_str!("../../../proto/v6pod/v1/daemon.proto")),
    ("v6pod/v1/networks.proto", include_str!("../../../proto/v6pod/v1/networks.proto")),
];

#[track_caller]
fn answers(caller: &Caller) -> Value {
    caller.command(&[PYTHON, "/tmp/client.py", SOCKET, "/tmp/stubs"]).run().json()
}

#[test]
fn grpcio_clients_are_served() {
    let site = Site::new(&["alice", "bob"]);
    for (path, text) in PROTOS {
        site.host.write(format!("/tmp/proto/{path}"), text);
    }
    site.host.write("/tmp/client.py", include_str!("client.py"));
    let make = "mkdir /tmp/stubs; exec \"$0\" -m grpc_tools.protoc -I /tmp/proto \
                --python_out=/tmp/stubs --grpc_python_out=/tmp/stubs /tmp/proto/v6pod/v1/*.proto";
    site.host.run(["bash", "-euc", make, PYTHON]);

    let attachment = site.user("alice").start("web");
    site.user("bob").start("other");
    for (caller, names) in [(site.user("alice"), json!(["web"])), (site.root(), json!(["web", "other"]))] {
        let answers = answers(&caller);
        assert_eq!((&answers["uid"], &answers["names"]), (&json!(caller.uid()), &names), "{answers:#}");
        assert_eq!(answers["addresses"][0], attachment["address"]);
        assert_eq!(answers["watched"], "web");
        assert_eq!(answers["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(answers["activate"][0], "INVALID_ARGUMENT");
        let said = answers["activate"][1].as_str().unwrap_or_default();
        assert!(said.starts_with("no network namespace was passed"), "{said}");
        assert_eq!(answers["reflection"], json!({"v1": true, "v1alpha": true}));
    }
}
