//! The answers as JSON: the messages of `v6pod.v1` with their own field names, every field always there.
//!
//! It is protobuf's JSON mapping with two differences that make it easier on scripts: enums are lower
//! case without their prefix ("active"), and a field that is empty is written too.

mod attachments;
mod daemon;

use std::io;

use serde::Serialize;

pub use self::{
    attachments::{Activated, Check, Event, List, One, kind, state},
    daemon::{Explain, History, Status, reason},
};
use crate::text;

/// The document, indented, with its line end.
pub fn document(value: &impl Serialize) -> io::Result<String> {
    Ok(safe(&serde_json::to_string_pretty(value)?))
}

/// The document on one line, with its line end.
pub fn line(value: &impl Serialize) -> io::Result<String> {
    Ok(safe(&serde_json::to_string(value)?))
}

/// serde_json escapes as little as JSON allows; a terminal would act on some of the rest. What is not
/// printable can only stand inside strings, but for the line ends between.
fn safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if character == '\n' || text::is_printable(character) {
            safe.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    safe.push('\n');
    safe
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::SystemTime};

    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use serde_json::{Value, json};
    use v6pod_proto::v1::{self, attachment::State};

    use super::{
        attachments::Attachment,
        daemon::{Audit, Entry, Network, Quota, Registry},
        *,
    };

    /// The field names of a message of the contract.
    fn fields(message: &str) -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(v6pod_proto::DESCRIPTORS).unwrap();
        let ours = set.file.iter().filter(|file| file.package() == "v6pod.v1");
        let found = ours.flat_map(|file| &file.message_type).find(|found| found.name() == message);
        found.expect(message).field.iter().map(|field| field.name().to_owned()).collect()
    }

    fn keys(value: &impl Serialize) -> BTreeSet<String> {
        let Ok(Value::Object(object)) = serde_json::to_value(value) else { panic!("no object") };
        object.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn the_fields_are_the_contracts() {
        let attachment = v1::Attachment::default();
        assert_eq!(keys(&Attachment::from(&attachment)), fields("Attachment"));
        assert_eq!(keys(&Network::from(&v1::Network::default())), fields("Network"));
        assert_eq!(keys(&Registry::from(&v1::RegistryStatus::default())), fields("RegistryStatus"));
        assert_eq!(keys(&Status::from(&v1::StatusResponse::default())), fields("StatusResponse"));
        assert_eq!(keys(&Audit::from(&v1::AuditStatus::default())), fields("AuditStatus"));
        assert_eq!(keys(&History::from(&v1::HistoryResponse::default())), fields("HistoryResponse"));
        assert_eq!(keys(&Entry::from(&v1::HistoryEntry::default())), fields("HistoryEntry"));
        assert_eq!(keys(&Explain::from(&v1::ExplainResponse::default())), fields("ExplainResponse"));
        assert_eq!(keys(&Quota::from(&v1::Quota::default())), fields("Quota"));
        assert_eq!(keys(&List::from(&v1::ListResponse::default())), fields("ListResponse"));
        assert_eq!(keys(&Check::from(&v1::CheckResponse::default())), fields("CheckResponse"));
        assert_eq!(keys(&Activated::from(&v1::ActivateResponse::default())), fields("ActivateResponse"));
        assert_eq!(keys(&One::from(&attachment)), fields("GetResponse"));
        assert_eq!(keys(&One::from(&attachment)), fields("DeactivateResponse"));
        let event = v1::WatchResponse { kind: 3, attachment: Some(attachment) };
        let mut expected = fields("WatchResponse");
        expected.insert("time".to_owned());
        assert_eq!(keys(&Event::new(&event, SystemTime::UNIX_EPOCH)), expected);
    }

    #[test]
    fn values_are_readable() {
        let attachment = v1::Attachment {
            name: "web".to_owned(),
            state: State::Detaching.into(),
            created: Some(prost_types::Timestamp { seconds: 1_795_259_534, nanos: 250_000_000 }),
            ..Default::default()
        };
        let value = serde_json::to_value(Attachment::from(&attachment)).unwrap();
        assert_eq!(value["name"], "web");
        assert_eq!(value["state"], "detaching");
        assert_eq!(value["created"], "2026-11-21T11:12:14.250Z");
        assert_eq!(value["published"], json!([]));
        assert_eq!((state(99), kind(5)), ("99".to_owned(), "removed".to_owned()));
        let synced = v1::WatchResponse { kind: 2, attachment: None };
        let value = line(&Event::new(&synced, SystemTime::UNIX_EPOCH)).unwrap();
        assert_eq!(value, "{\"time\":\"1970-01-01T00:00:00Z\",\"kind\":\"synced\"}\n");
    }

    #[test]
    fn terminals_have_nothing_to_act_on_and_programs_lose_nothing() {
        let problem = "\x1b]0;x\x07 \u{9b}31m \u{7f}\u{202e}\u{e0001}é\n\"\\".to_owned();
        let written = document(&Check::from(&v1::CheckResponse { problems: vec![problem.clone()] })).unwrap();
        assert!(written.chars().all(|c| c == '\n' || text::is_printable(c)), "{written:?}");
        let read: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["problems"][0], problem);
    }
}
