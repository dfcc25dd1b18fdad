//! The whole of it, with its thread.

use std::fs;

use v6pod_proto::v1::history_request::Target;

use super::{
    life::tests::{at, life},
    query::tests::{ALICE, ROOT, query},
    *,
};
use crate::model::{AttachmentId, LeaseId, Mac, NamespaceId, State};

fn attachment(number: u16, uid: u32) -> Attachment {
    let life = life(number, uid, 100, None);
    Attachment {
        id: life.id,
        network: life.network,
        uid,
        container_id: life.container_id,
        name: life.name,
        aliases: Vec::new(),
        tags: Vec::new(),
        interface: "v6pod0".parse().unwrap(),
        address: life.address,
        mac: Mac::of(life.address),
        mtu: 1500,
        default_route: true,
        namespace: NamespaceId { device: 1, inode: number.into() },
        lease: None::<LeaseId>,
        created: at(100) + Duration::from_nanos(123_456_789),
        state: State::Active,
        gid: uid,
        inbound: Default::default(),
        charged: None,
        groups: Vec::new(),
        fixed: false,
        forbidden: None,
    }
}

fn audit(config: &Config) -> (tempfile::TempDir, Audit) {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::start(config, folder.path().join("audit"), "boot\n").unwrap();
    audit.reconciled(&[], &[], Vec::new);
    (folder, audit)
}

#[tokio::test]
async fn what_was_told_is_found_at_once() {
    let (_folder, audit) = audit(&Config::default());
    for number in 1..=50 {
        audit.lives(&attachment(number, 1001));
        let target = Some(Target::Uid(1001));
        let alive = audit.history(query(target.clone(), ALICE)).await.unwrap();
        assert_eq!(
            (alive.lives.len(), alive.lives.iter().filter(|life| life.end.is_none()).count()),
            (number.into(), 1)
        );
        audit.ended(&attachment(number, 1001), Reason::Detach);
        let ended = audit.history(query(target, ALICE)).await.unwrap();
        assert_eq!(ended.lives[0].id, AttachmentId::from_bits(number.into()));
        assert_eq!(ended.lives[0].end.unwrap().reason, Reason::Detach);
    }
    assert_eq!(audit.status(), Status { file: true, error: None, lost: 0 });
    assert!(audit.close(Duration::from_secs(20)));
    assert!(matches!(audit.history(query(None, ROOT)).await, Err(Error::Busy)));
}

#[tokio::test]
async fn everything_told_before_the_end_is_kept() {
    let (folder, audit) = audit(&Config::default());
    (1..=3000).for_each(|number| audit.lives(&attachment(number, 1001)));
    assert!(audit.close(Duration::from_secs(20)));
    let text = fs::read_to_string(folder.path().join("audit/audit.log")).unwrap();
    assert_eq!(text.matches("\"event\":\"start\"").count(), 3000);
}

#[tokio::test]
async fn many_searches_of_one_user_leave_room_for_another() {
    let (_folder, audit) = audit(&Config::default());
    audit.lives(&attachment(1, 1001));
    let searches = (0..200).map(|_| audit.history(query(None, ALICE)));
    let (many, one) =
        tokio::join!(futures_util::future::join_all(searches), audit.history(query(None, ROOT)));
    assert!(many.into_iter().all(|found| found.unwrap().lives.len() == 1));
    assert_eq!(one.unwrap().lives.len(), 1);
}

#[tokio::test]
async fn without_a_file_there_is_no_folder() {
    let (folder, audit) = audit(&Config { file: false, ..Config::default() });
    audit.lives(&attachment(1, 1001));
    let found = audit.history(query(None, ROOT)).await.unwrap();
    assert_eq!((found.lives.len(), found.since), (1, None));
    assert!(!folder.path().join("audit").exists() && !audit.status().file);
}

#[tokio::test]
async fn all_uids_of_a_user_have_one_turn_and_administrators_their_own() {
    use futures_util::FutureExt as _;
    let (_folder, audit) = audit(&Config::default());
    let enter = |viewer: Viewer| audit.gate.enter(viewer.payer()).now_or_never().flatten();
    let subordinate = |uid, account| Viewer { uid, account, all: false };
    let searching = enter(subordinate(100_001, ALICE.uid)).expect("nobody else searches");
    assert!(enter(subordinate(100_002, ALICE.uid)).is_none() && enter(ALICE).is_none());
    drop(searching);
    let roots = enter(subordinate(200_001, ROOT.uid)).expect("nobody else searches");
    assert!(enter(subordinate(200_002, ROOT.uid)).is_none());
    let _root = enter(ROOT).expect("root waits for no stranger in a container of its own");
    drop(roots);
}
