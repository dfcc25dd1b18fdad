//! `v6pod history`: what it asks for, what it prints, how it ends.

use prost_types::Timestamp;
use v6pod_proto::v1::{
    HistoryEntry, HistoryRequest, HistoryResponse, history_entry::Reason, history_request::Target,
};

use crate::{
    Site,
    daemon::{Answers, Call},
};

fn history() -> HistoryResponse {
    let entry = HistoryEntry {
        id: "000000000001".to_owned(),
        uid: 4_000_000_001,
        container_id: "c0ffee0123456789".to_owned(),
        name: "web".to_owned(),
        address: "2001:db8::7".to_owned(),
        network: "default".to_owned(),
        start: Some(Timestamp { seconds: 1_795_000_000, nanos: 250_000_000 }),
        end: Some(Timestamp { seconds: 1_795_000_100, nanos: 0 }),
        reason: Reason::Namespace.into(),
        ..Default::default()
    };
    let since = Some(Timestamp { seconds: 1_790_000_000, nanos: 5 });
    HistoryResponse { entries: vec![entry], more: false, since }
}

fn site(fits: fn(&HistoryRequest) -> bool) -> Site {
    Site::new(Answers { history: history(), fits, ..Default::default() })
}

fn asked(site: &Site) -> HistoryRequest {
    match site.daemon.call() {
        Call::History(request) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_found_is_a_table() {
    let site = site(|_| true);
    site.run(&["history", "2001:db8::7", "--at", "2026-11-18 11:33"]).gives(
        "\
ADDRESS      START                 END                   USER        NAME  CONTAINER     WHY        NETWORK
2001:db8::7  2026-11-18T11:06:40Z  2026-11-18T11:08:20Z  4000000001  web   c0ffee012345  namespace  default
",
    );
    let seconds = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let target = Some(Target::Address("2001:db8::7".to_owned()));
    let (from, until) = (seconds(1_795_001_580, 0), seconds(1_795_001_639, 999_000_000));
    assert_eq!(asked(&site), HistoryRequest { target, from, until, limit: 100 });
}

#[test]
fn json_is_the_contracts() {
    let site = site(|_| true);
    let found = site.run(&["history", "--json", "--limit", "7"]).json();
    let entry = &found["entries"][0];
    assert_eq!((&entry["reason"], &entry["uid"]), (&"namespace".into(), &4_000_000_001_u32.into()));
    assert_eq!(
        (&entry["start"], &entry["end"]),
        (&"2026-11-18T11:06:40.250Z".into(), &"2026-11-18T11:08:20Z".into())
    );
    assert_eq!((&found["more"], &entry["approximate"]), (&false.into(), &false.into()));
    assert_eq!(asked(&site), HistoryRequest { limit: 7, ..Default::default() });
}

#[test]
fn a_number_is_a_uid_and_a_word_a_name_before_they_are_containers() {
    let site = site(|request| matches!(request.target, Some(Target::ContainerId(_))));
    assert_eq!(site.run(&["history", "4711"]).code, Some(0));
    let targets: Vec<_> = (0..3).map(|_| asked(&site).target.unwrap()).collect();
    let (name, container) = (Target::Name("4711".to_owned()), Target::ContainerId("4711".to_owned()));
    assert_eq!(targets, [Target::Uid(4711), name, container]);
    assert!(site.daemon.is_quiet());
}

#[test]
fn nothing_found_is_told_with_how_far_back_it_was_looked() {
    let site = site(|_| false);
    let line = "v6pod: nothing is found of \"web\": the audit reaches back to 2026-09-21T14:13:20Z";
    site.run(&["history", "web"]).fails(3, line);
    let found = site.run(&["history", "--json"]);
    assert_eq!((found.code, found.json()["entries"].as_array().map(Vec::len)), (Some(3), Some(0)));
    assert_eq!(found.stderr, "v6pod: nothing is found: the audit reaches back to 2026-09-21T14:13:20Z\n");
    let none = Site::new(Answers::default());
    let line = "v6pod: nothing is found: v6podd keeps no file: it knows only what lasts, and the journal has the rest";
    none.run(&["history"]).fails(3, line);
}

#[test]
fn what_an_answer_leaves_out_is_told() {
    let answer = HistoryResponse { more: true, ..history() };
    let site = Site::new(Answers { history: answer, ..Default::default() });
    let ran = site.run(&["history", "--limit", "1", "--at", "2026-01-01"]);
    assert_eq!(ran.code, Some(0));
    let more = "there are more than 1: --limit shows up to 1000, --at picks a time\n";
    assert_eq!(ran.stderr, format!("{more}the audit reaches back to 2026-09-21T14:13:20Z\n"));
}

#[test]
fn how_long_ago_may_begin_with_a_hyphen() {
    let site = site(|_| true);
    assert_eq!(site.run(&["history", "--at", "-2h", "web"]).code, Some(0));
    let HistoryRequest { target, from, until, .. } = asked(&site);
    assert_eq!((from, target), (until, Some(Target::Name("web".to_owned()))));
    let now = Timestamp::from(std::time::SystemTime::now()).seconds;
    assert!((now - 7_260..=now - 7_200).contains(&from.unwrap().seconds), "{from:?}");
}

#[test]
fn a_host_name_is_looked_for_by_its_first_label_at_last() {
    let site = site(|request| request.target == Some(Target::Name("web".to_owned())));
    assert_eq!(site.run(&["history", "web.v6pod"]).code, Some(0));
    let targets: Vec<_> = (0..3).map(|_| asked(&site).target.unwrap()).collect();
    let host = || "web.v6pod".to_owned();
    assert_eq!(targets, [Target::Name(host()), Target::ContainerId(host()), Target::Name("web".to_owned())]);
}
