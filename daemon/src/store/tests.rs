//! Records come back, or are refused in words.

use std::time::{Duration, SystemTime};

use super::*;
use crate::model::{NamespaceId, State};

fn attachment(bits: u64) -> Attachment {
    Attachment {
        id: AttachmentId::from_bits(bits),
        network: "default".parse().unwrap(),
        uid: 1000,
        gid: 1001,
        container_id: Some("0123abc".parse().unwrap()),
        name: Some("web".parse().unwrap()),
        aliases: vec!["www".parse().unwrap()],
        tags: Vec::new(),
        interface: "v6pod0".parse().unwrap(),
        address: "2001:db8::611:2233:4455".parse().unwrap(),
        mac: "06:11:22:33:44:55".parse().unwrap(),
        mtu: 1500,
        default_route: true,
        inbound: "80/tcp".parse().unwrap(),
        namespace: NamespaceId { device: 4, inode: 5 },
        lease: None,
        created: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        state: State::Active,
        charged: Some(1002),
        groups: vec![990],
        fixed: true,
        forbidden: None,
    }
}

#[test]
fn records_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), "boot-a\n").unwrap();
    store.write(&attachment(1)).unwrap();
    store.write(&attachment(2)).unwrap();
    store.write(&Attachment { name: None, ..attachment(2) }).unwrap();
    store.erase(AttachmentId::from_bits(1)).unwrap();
    store.erase(AttachmentId::from_bits(1)).unwrap();
    assert_eq!(store.load().unwrap(), [Attachment { name: None, ..attachment(2) }]);
}

#[test]
fn another_boot_and_half_a_file_are_swept() {
    let directory = tempfile::tempdir().unwrap();
    Store::open(directory.path(), "boot-a").unwrap().write(&attachment(1)).unwrap();
    let store = Store::open(directory.path(), "boot-b").unwrap();
    fs::write(directory.path().join("attachments/000000000002.json"), "{\"version\":1,\"bo").unwrap();
    fs::write(directory.path().join("attachments/000000000003.new"), "").unwrap();
    assert!(store.load().unwrap().is_empty());
    assert_eq!(fs::read_dir(directory.path().join("attachments")).unwrap().count(), 0);
}

#[test]
fn a_newer_record_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), "boot").unwrap();
    fs::write(directory.path().join("attachments/000000000001.json"), "{\"version\":2,\"x\":1}").unwrap();
    let error = store.load().unwrap_err().to_string();
    assert!(error.contains("newer v6podd"), "{error}");
}

#[test]
fn what_is_remembered_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), "boot").unwrap();
    assert_eq!(store.remember("n", "a number", || 7u32).unwrap(), 7);
    assert_eq!(store.remember("n", "a number", || 8u32).unwrap(), 7);
    fs::write(store.path("n"), "x").unwrap();
    assert!(store.remember("n", "a number", || 8u32).unwrap_err().to_string().contains("not a number"));
}
