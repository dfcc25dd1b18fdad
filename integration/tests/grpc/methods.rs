//! Every method there is, called. Which there are the daemon says; one without a test here fails.

use serde_json::{Value, json};

use crate::caller::{Answer, Caller, GATEWAY, PREFIX, Site};

/// What the caller of a method knows, and may see.
struct Facts<'a> {
    caller: &'a Caller,
    /// One attachment that the caller may see.
    attachment: &'a Value,
    /// How many the caller may see.
    visible: usize,
}

impl Facts<'_> {
    #[track_caller]
    fn call(&self, method: &str, request: &Value) -> Answer {
        self.caller.call(method, request)
    }

    /// Calls a method, and asserts that it answers as it has to.
    #[track_caller]
    fn check(&self, method: &str) {
        match method.split_once('/').expect("a service and a method") {
            ("v6pod.v1.Attachments", name) => self.check_attachments(method, name),
            ("v6pod.v1.Networks", name) => self.check_networks(method, name),
            ("v6pod.v1.Daemon", name) => self.check_daemon(method, name),
            (_, name) => self.check_standard(method, name),
        }
    }

    #[track_caller]
    fn check_attachments(&self, method: &str, name: &str) {
        let id = &self.attachment["id"];
        let only_id = json!({ "id": id });
        match name {
            "Activate" => {
                let missing = "no network namespace was passed: send its descriptor with SCM_RIGHTS";
                self.call(method, &json!({})).is_refusal("InvalidArgument", missing);
                self.call(method, &json!({"name": "web"})).is_refusal("InvalidArgument", missing);
            }
            "Get" => {
                let container = json!({"containerId": self.attachment["containerId"]});
                assert_eq!(self.call(method, &only_id).message()["attachment"], *self.attachment);
                if self.attachment["uid"] == self.caller.uid() {
                    assert_eq!(self.call(method, &container).message()["attachment"], *self.attachment);
                }
                self.call(method, &json!({})).is_refusal("InvalidArgument", "set id or container_id");
                self.call(method, &json!({"id": "../x"})).is_refusal("InvalidArgument", "hexadecimal digits");
            }
            "List" => {
                let count = |request| {
                    let answer = self.call(method, &request);
                    answer.message()["attachments"].as_array().map_or(0, Vec::len)
                };
                assert_eq!(count(json!({})), self.visible);
                assert_eq!(count(json!({"network": self.attachment["network"]})), self.visible);
                assert_eq!(count(json!({"name": self.attachment["name"]})), 1);
                assert_eq!(count(json!({"network": "other"})), 0);
            }
            "Check" => {
                assert_eq!(*self.call(method, &only_id).message(), json!({"problems": []}));
                self.call(method, &json!({})).is_refusal("InvalidArgument", "hexadecimal digits");
            }
            "Watch" => {
                let answer = self.caller.call_for(method, &json!({}), "2");
                assert_eq!(
                    (answer.code.as_str(), answer.messages.len()),
                    ("DeadlineExceeded", self.visible + 1)
                );
                assert_eq!(answer.messages[self.visible]["kind"], "KIND_SYNCED");
            }
            "Expose" => self.check_expose(method),
            "Deactivate" => {
                self.call(method, &json!({})).is_refusal("InvalidArgument", "set id or container_id");
                let answer = self.call(method, &only_id);
                assert_eq!(answer.message()["attachment"]["id"], *id);
                self.call(method, &only_id).is_refusal("NotFound", id.as_str().expect("text"));
            }
            _ => panic!("{method} has no test here"),
        }
    }

    #[track_caller]
    fn check_expose(&self, method: &str) {
        let id = &self.attachment["id"];
        for inbound in ["443/tcp,5000-5010/udp", "established", "open"] {
            let answer = self.call(method, &json!({"id": id, "inbound": inbound}));
            assert_eq!(answer.message()["attachment"]["inbound"], inbound);
        }
        for wrong in ["", "80/http", "0/tcp", "9-8/tcp", "OPEN"] {
            let refused = self.call(method, &json!({"id": id, "inbound": wrong}));
            refused.is_refusal("InvalidArgument", "inbound traffic");
        }
        let absent = json!({"id": "0123456789ab", "inbound": "open"});
        self.call(method, &absent).is_refusal("NotFound", "0123456789ab");
    }

    #[track_caller]
    fn check_networks(&self, method: &str, name: &str) {
        let network = match name {
            "Get" => {
                let answer = self.call(method, &json!({}));
                let named = self.call(method, &json!({"name": answer.message()["network"]["name"]}));
                assert_eq!(answer, named);
                self.call(method, &json!({"name": "none"})).is_refusal("NotFound", "none");
                self.call(method, &json!({"name": "../x"})).is_refusal("InvalidArgument", "../x");
                answer.message()["network"].clone()
            }
            "List" => self.call(method, &json!({})).message()["networks"][0].clone(),
            _ => panic!("{method} has no test here"),
        };
        assert_eq!((&network["prefix"], &network["gateway"]), (&json!(PREFIX), &json!(GATEWAY)));
        assert_eq!((&network["driver"], &network["default"]), (&json!("bridge"), &json!(true)));
    }

    #[track_caller]
    fn check_daemon(&self, method: &str, name: &str) {
        match name {
            "Status" => self.check_status(method),
            "Explain" => self.check_explain(method),
            "History" => self.check_history(method),
            _ => panic!("{method} has no test here"),
        }
    }

    #[track_caller]
    fn check_explain(&self, method: &str) {
        let (uid, is_root) = (self.caller.uid(), self.caller.uid() == 0);
        let answer = self.call(method, &json!({}));
        let told = answer.message();
        assert_eq!((&told["allowed"], &told["reason"]), (&json!(true), &json!("")), "{told:#}");
        assert_eq!(
            (&told["network"], &told["rule"]),
            (&json!("default"), &json!(if is_root { "root" } else { "default" }))
        );
        assert_eq!((&told["uid"], &told["chargedUid"]), (&json!(uid), &json!(uid)));
        let used = u64::from(!is_root);
        assert_eq!(
            (&told["attachments"]["unlimited"], &told["attachments"]["used"]),
            (&json!(is_root), &json!(used))
        );
        let taken = self.call(method, &json!({"name": "other", "address": "2001:db8:1::200:0:5"}));
        assert_eq!(taken.message()["allowed"], false);
        assert!(taken.message()["reason"].as_str().is_some_and(|reason| reason.contains("other is taken")));
        let about = self.call(method, &json!({"uid": 7}));
        if is_root {
            assert_eq!((&about.message()["uid"], &about.message()["rule"]), (&json!(7), &json!("default")));
        } else {
            about.is_refusal("PermissionDenied", "only administrators may ask");
        }
        self.call(method, &json!({"name": "a b"})).is_refusal("InvalidArgument", "a b");
    }

    #[track_caller]
    fn check_status(&self, method: &str) {
        let answer = self.call(method, &json!({}));
        let status = answer.message();
        assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(status["callerUid"], self.caller.uid());
        assert_eq!(status["callerIsAdmin"], self.caller.uid() == 0);
        assert_eq!(status["networks"][0]["prefix"], PREFIX);
        let dns = &status["registries"][0];
        assert_eq!((&dns["kind"], &dns["healthy"], &dns["error"]), (&json!("dns"), &json!(true), &json!("")));
        assert_eq!(dns["endpoint"], format!("[{GATEWAY}]:53"));
        assert_eq!(status["audit"], json!({"file": true, "healthy": true, "error": "", "lost": "0"}));
    }

    #[track_caller]
    fn check_history(&self, method: &str) {
        let found = |request: Value| {
            let answer = self.call(method, &request);
            answer.message()["entries"].as_array().cloned().expect("entries")
        };
        assert_eq!(found(json!({})).len(), self.visible);
        let entry = found(json!({"address": self.attachment["address"]})).remove(0);
        for field in ["id", "uid", "containerId", "name", "address", "mac", "network"] {
            assert_eq!(entry[field], self.attachment[field], "{field}");
        }
        assert_eq!((&entry["end"], &entry["reason"]), (&Value::Null, &json!("REASON_UNSPECIFIED")));
        for field in ["name", "uid", "containerId"] {
            assert_eq!(
                found(json!({field: self.attachment[field]})),
                std::slice::from_ref(&entry),
                "{field}"
            );
        }
        assert!(found(json!({"from": "2001-01-01T00:00:00Z", "until": "2001-01-02T00:00:00Z"})).is_empty());
        assert!(found(json!({"name": "none"})).is_empty());
        for (request, words) in [
            (json!({"address": "10.0.0.1"}), "10.0.0.1"),
            (json!({"name": "../x"}), "the name"),
            (json!({"containerId": "abc"}), "4 or more"),
            (json!({"limit": 1001}), "1001"),
            (
                json!({"from": "2001-01-02T00:00:00Z", "until": "2001-01-01T00:00:00Z"}),
                "until is before from",
            ),
        ] {
            self.call(method, &request).is_refusal("InvalidArgument", words);
        }
    }

    /// Health and reflection, whose methods are known by what they are.
    #[track_caller]
    fn check_standard(&self, method: &str, name: &str) {
        match name {
            "Check" => {
                for service in ["", "v6pod.v1.Attachments", "v6pod.v1.Networks", "v6pod.v1.Daemon"] {
                    let answer = self.call(method, &json!({ "service": service }));
                    assert_eq!(answer.message()["status"], "SERVING", "{service:?}");
                }
                self.call(method, &json!({"service": "none"})).is_refusal("NotFound", "");
            }
            "Watch" => {
                let answer = self.caller.call_for(method, &json!({}), "2");
                assert_eq!(answer.code, "DeadlineExceeded");
                assert_eq!(answer.messages, [json!({"status": "SERVING"})]);
            }
            "ServerReflectionInfo" => {
                let answer = self.call(method, &json!({"listServices": "*"}));
                let services = &answer.message()["listServicesResponse"]["service"];
                let listed = services.as_array().map_or(0, Vec::len);
                assert_eq!(listed, self.caller.told(&["list"]).len());
            }
            _ => panic!("{method} has no test here"),
        }
    }
}

/// Calls every method as this caller, the one that ends the attachment last.
fn call_every_method(caller: &Caller, attachment: &Value, visible: usize) {
    let facts = Facts { caller, attachment, visible };
    let mut methods = caller.methods();
    methods.sort_by_key(|method| method.ends_with("/Deactivate"));
    assert!(methods.last().is_some_and(|method| method.ends_with("/Deactivate")), "{methods:?}");
    methods.iter().for_each(|method| facts.check(method));
    eprintln!("called as {}: {}", caller.uid(), methods.join(" "));
}

#[test]
fn every_method_can_be_called_as_root() {
    let site = Site::new(&["alice", "bob"]);
    let attachment = site.user("alice").start("web");
    site.user("bob").start("other");
    call_every_method(&site.root(), &attachment, 2);
}

#[test]
fn every_method_can_be_called_as_an_ordinary_user() {
    let site = Site::new(&["alice", "bob"]);
    let attachment = site.user("alice").start("web");
    site.user("bob").start("other");
    call_every_method(&site.user("alice"), &attachment, 1);
}

#[test]
fn an_attachment_says_all_about_itself() {
    let site = Site::new(&["alice"]);
    let alice = site.user("alice");
    let attachment = alice.start("web");
    let id = alice.podman(&["inspect", "--format", "{{.Id}}", "web"]);
    for (field, value) in [
        ("uid", json!(alice.uid())),
        ("containerId", json!(id.text())),
        ("name", json!("web")),
        ("interface", json!("v6pod0")),
        ("prefixLength", json!(80)),
        ("gateway", json!(GATEWAY)),
        ("state", json!("STATE_ACTIVE")),
        ("leased", json!(true)),
        ("published", json!(["web.v6pod"])),
    ] {
        assert_eq!(attachment[field], value, "{field} of {attachment:#}");
    }
    let shown = alice.podman(&["exec", "web", "ip", "address", "show", "v6pod0"]).stdout;
    let own = |field: &str| attachment[field].as_str().expect("text").to_owned();
    assert!(shown.contains(&format!("{}/80", own("address"))) && shown.contains(&own("mac")), "{shown}");
    assert!(shown.contains(&format!("mtu {}", attachment["mtu"])), "{shown}");
    let link = site.host.run(["ip", "link", "show", &own("hostInterface")]);
    assert!(link.stdout.contains(&format!("alias v6pod:{}", own("id"))), "{link}");
    let deactivated = alice.call("v6pod.v1.Attachments/Deactivate", &json!({"containerId": id.text()}));
    assert_eq!(deactivated.message()["attachment"]["id"], attachment["id"]);
    assert!(!site.host.try_run(["ip", "link", "show", &own("hostInterface")]).success());
}
