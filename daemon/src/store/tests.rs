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
fn what_a_newer_version_wrote_is_refused_in_words_and_not_touched() {
    for (file, text) in [
        ("attachments/000000000001.json", "{\"version\":2,\"x\":1}"),
        ("version", "2\n"),
        ("version", "4294967295"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("attachments")).unwrap();
        fs::write(directory.path().join(file), text).unwrap();
        for error in [
            Store::open(directory.path(), "boot").map(drop).unwrap_err(),
            remains(directory.path(), "boot", false).map(drop).unwrap_err(),
        ] {
            let error = error.to_string();
            let path = directory.path().join(file).display().to_string();
            assert!(error.starts_with(&path) && error.contains("newer v6podd"), "{error}");
        }
        let present = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(present, if file == "version" { 2 } else { 1 }, "something was made");
        assert_eq!(fs::read_to_string(directory.path().join(file)).unwrap(), text);
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("version"), "new").unwrap();
    let error = Store::open(directory.path(), "boot").map(drop).unwrap_err().to_string();
    assert!(error.contains("not the number of a form"), "{error}");
}

/// A record as v6podd 0.1.0 wrote it before the directory told its form: see integration/tests/state.rs.
#[test]
fn the_kept_record_is_read() {
    let text = include_str!("../../../integration/fixtures/state-form-1/attachments/bdab849e5a05.json");
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("attachments")).unwrap();
    fs::write(directory.path().join("attachments/bdab849e5a05.json"), text).unwrap();
    let store = Store::open(directory.path(), "66641b26-076e-45ae-abee-00f20e8797dd").unwrap();
    let found = store.load().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].address, "2001:db8:1::76f5:4f6d:8935".parse::<std::net::Ipv6Addr>().unwrap());
    assert_eq!(found[0].inbound, "80/tcp".parse().unwrap());
    assert_eq!(fs::read_to_string(store.path("version")).unwrap(), "1\n");
}

#[test]
fn one_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), "boot").unwrap();
    for error in [
        Store::open(directory.path(), "boot").map(drop).unwrap_err(),
        remains(directory.path(), "boot", true).map(drop).unwrap_err(),
        remains(directory.path(), "boot", false).map(drop).unwrap_err(),
    ] {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(matches!(error, Error::InUse { pid: Some(pid), .. } if pid == own), "{error}");
    }
    // A holder that has ended, and cannot let go, is no holder.
    fs::write(store.path("lock"), "4194305\n").unwrap();
    remains(directory.path(), "boot", true).map(drop).unwrap();
    let second = Store::open(directory.path(), "boot").unwrap();
    assert!(remains(directory.path(), "boot", true).is_err());
    drop(second);
    remains(directory.path(), "boot", true).map(drop).unwrap();
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
