//! A user sees and changes only what is theirs. What is another's answers as what does not exist.

use serde_json::{Value, json};

use crate::caller::{Answer, Site};

const METHODS: [&str; 3] = ["Get", "Check", "Deactivate"];

/// The answer with one text in place of another.
fn with(answer: &Answer, old: &str, new: &str) -> Answer {
    Answer { sentence: answer.sentence.replace(old, new), ..answer.clone() }
}

#[test]
fn anothers_attachment_is_as_absent_as_none() {
    let site = Site::new(&["alice", "bob"]);
    let (alice, bob) = (site.user("alice"), site.user("bob"));
    let (own, others) = (alice.start("web"), bob.start("other"));
    let text = |attachment: &Value, field: &str| attachment[field].as_str().expect("text").to_owned();
    let (id, container) = (text(&others, "id"), text(&others, "containerId"));
    let absent = ("0123456789ab", "0".repeat(64));
    for name in METHODS {
        let method = format!("v6pod.v1.Attachments/{name}");
        let there = alice.call(&method, &json!({ "id": id }));
        there.is_refusal("NotFound", &format!("there is no attachment {id}"));
        assert_eq!(with(&there, &id, absent.0), alice.call(&method, &json!({"id": absent.0})));
        if name != "Check" {
            let there = alice.call(&method, &json!({ "containerId": container }));
            there.is_refusal("NotFound", &container);
            let none = alice.call(&method, &json!({ "containerId": absent.1 }));
            assert_eq!(with(&there, &container, &absent.1), none);
        }
    }
    let list = |caller: &crate::caller::Caller, request| {
        let answer = caller.call("v6pod.v1.Attachments/List", &request);
        answer.message()["attachments"].clone()
    };
    assert_eq!(list(&alice, json!({})), json!([own]));
    assert_eq!(list(&bob, json!({})), json!([others]));
    assert_eq!(list(&alice, json!({"name": "other"})), json!([]));
    assert_eq!(list(&site.root(), json!({})), json!([own, others]));
    assert_eq!(list(&site.root(), json!({"name": "other"})), json!([others]));
}

#[test]
fn root_may_do_everything() {
    let site = Site::new(&["alice"]);
    let alice = site.user("alice");
    let attachment = alice.start("web");
    for name in METHODS {
        let method = format!("v6pod.v1.Attachments/{name}");
        site.root().call(&method, &json!({"id": attachment["id"]})).message();
    }
    let gone = alice.call("v6pod.v1.Attachments/Get", &json!({"id": attachment["id"]}));
    gone.is_refusal("NotFound", "");
}

#[test]
fn members_of_the_administrators_group_see_everything() {
    let mut site = Site::new(&["alice", "bob"]);
    let attachment = site.user("alice").start("web");
    let bob = site.user("bob");
    let status = |site: &Site| site.user("bob").call("v6pod.v1.Daemon/Status", &json!({}));
    assert_eq!(status(&site).message()["callerIsAdmin"], false);
    site.host.sh("printf 'admins:x:990:bob\\n' >>/etc/group");
    site.daemon.configure("prefix = \"2001:db8:1::/80\"\nadmin_group = \"admins\"\n");
    site.daemon.restart();
    assert_eq!(status(&site).message()["callerIsAdmin"], true);
    let answer = bob.call("v6pod.v1.Attachments/Get", &json!({"id": attachment["id"]}));
    assert_eq!(answer.message()["attachment"], attachment);
    let alice = site.user("alice").call("v6pod.v1.Daemon/Status", &json!({}));
    assert_eq!(alice.message()["callerIsAdmin"], false);
}
