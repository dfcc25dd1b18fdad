//! What the thread does, message by message, without the thread.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    super::{
        Config,
        life::{
            End,
            tests::{at, life},
        },
        line::Entry,
        query::tests::{ROOT, query},
    },
    *,
};
use crate::model::AttachmentId;

/// A folder, and the daemons that keep an audit in it one after the other.
struct Site {
    folder: tempfile::TempDir,
    config: Config,
}

/// So many seconds after 1970, when the host had been up for a tenth of that.
fn moment(seconds: u64) -> Moment {
    Moment { wall: at(seconds), up: Duration::from_secs(seconds / 10) }
}

fn started(life: &Life, seconds: u64) -> Message {
    Message::Lives(Box::new(life.clone()), moment(seconds))
}

fn ended(life: &Life, seconds: u64) -> Message {
    Message::Ended(Box::new(life.clone()), Reason::Lease, moment(seconds))
}

impl Site {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), config: Config::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("audit").join(name)
    }

    /// A daemon that found this at its start.
    fn daemon(&self, boot: &str, live: &[Life], ended: &[(Life, Reason)], now: Moment) -> Writer {
        let log = Log::new(self.folder.path().join("audit"), &self.config);
        let mut writer = Writer::new(Some(log), boot, Arc::default());
        writer.work();
        let (live, ended) = (live.to_vec(), ended.to_vec());
        let census: Census = Box::new({
            let live = live.clone();
            move || live.clone()
        });
        writer.heed(Message::Reconciled(Box::new(Reconciled { live, ended, now, census })), now);
        writer
    }

    fn lines(&self, name: &str) -> Vec<Line> {
        let text = fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(|line| Line::read(line.as_bytes()).unwrap_or_else(|| panic!("{line}"))).collect()
    }

    /// "daemon start:1 end:1 lost:3": what a file's lines tell, in short.
    fn told(&self, name: &str) -> String {
        let number = |entry: Entry| u64::from_str_radix(&Life::from(entry).id.to_string(), 16).unwrap();
        let short = |line| match line {
            Line::Daemon { .. } => "daemon".to_owned(),
            Line::Start(entry) => format!("start:{}", number(entry)),
            Line::Change(entry) => format!("change:{}", number(entry)),
            Line::Alive(entry) => format!("alive:{}", number(entry)),
            Line::End(entry) => format!("end:{}", number(entry)),
            Line::Lost { count, .. } => format!("lost:{count}"),
        };
        self.lines(name).into_iter().map(short).collect::<Vec<_>>().join(" ")
    }

    /// How a file says that an attachment ended.
    #[track_caller]
    fn end(&self, name: &str, number: u64) -> Life {
        let ends = self.lines(name).into_iter().filter_map(|line| match line {
            Line::End(entry) => Some(Life::from(entry)),
            _ => None,
        });
        let id = AttachmentId::from_bits(number);
        ends.rev().find(|life| life.id == id).expect("an end of it")
    }
}

fn lasting(daemon: &Writer) -> usize {
    daemon.roll.lines(at(0)).count()
}

impl Writer {
    fn heed_all(&mut self, messages: impl IntoIterator<Item = Message>) {
        messages.into_iter().for_each(|message| self.heed(message, moment(0)));
    }

    fn lost(&self) -> u64 {
        self.shared.lost.load(Relaxed)
    }

    fn error(&self) -> Option<String> {
        self.shared.error.lock().unwrap().clone()
    }

    /// Writing is tried now, and not in a second.
    fn retry(&mut self) {
        self.failed = self.failed.and_then(|failed| failed.checked_sub(RETRY));
        self.work();
    }
}

#[test]
fn starts_changes_and_ends_are_lines() {
    let site = Site::new();
    let mut daemon = site.daemon("a", &[], &[], moment(50));
    let first = Life { name: None, ..life(1, 1001, 100, None) };
    let named = life(1, 1001, 100, None);
    daemon.heed_all([started(&first, 100), started(&named, 110), started(&named, 120)]);
    daemon.heed_all([started(&life(2, 1002, 130, None), 130), ended(&named, 200)]);
    daemon.work();
    assert_eq!(site.told("audit.log"), "daemon start:1 change:1 start:2 end:1");
    let end = End { time: at(200), reason: Reason::Lease, approximate: false };
    assert_eq!(site.end("audit.log", 1), Life { end: Some(end), clock_stepped: 90, ..named });
    assert_eq!((daemon.lost(), daemon.error(), lasting(&daemon)), (0, None, 1));
}

#[test]
fn what_ended_unseen_ended_at_the_next_start_or_before() {
    let site = Site::new();
    let lives: Vec<_> = (1..=4).map(|number| life(number, 1001, 100, None)).collect();
    let mut killed = site.daemon("a", &[], &[], moment(50));
    killed.heed_all(lives.iter().map(|life| started(life, 100)));
    killed.work();
    // One goes on, one was found half removed, of one nothing is left, and a line of the last was torn.
    let torn = fs::read(site.path("audit.log")).unwrap();
    fs::write(site.path("audit.log"), &torn[..torn.len() - 20]).unwrap();
    let mut next = site.daemon("a", &[lives[0].clone()], &[(lives[1].clone(), Reason::Network)], moment(900));
    next.work();
    let text = fs::read_to_string(site.path("audit.log")).unwrap();
    let whole: String =
        text.lines().filter(|line| Line::read(line.as_bytes()).is_some()).map(|l| format!("{l}\n")).collect();
    assert_eq!(whole.lines().count() + 1, text.lines().count(), "{text}");
    fs::write(site.path("whole"), whole).unwrap();
    assert_eq!(site.told("whole"), "daemon start:1 start:2 start:3 daemon end:2 end:3");
    for (number, reason) in [(2, Reason::Network), (3, Reason::Gone)] {
        let end = End { time: at(900), reason, approximate: true };
        assert_eq!(site.end("whole", number).end, Some(end));
    }
    // What goes on has the same start, and its end is seen.
    next.heed_all([ended(&lives[0], 1000)]);
    next.work();
    let text = fs::read_to_string(site.path("audit.log")).unwrap();
    let Some(Line::End(entry)) = Line::read(text.lines().last().unwrap().as_bytes()) else {
        panic!("{text}")
    };
    let end = End { time: at(1000), reason: Reason::Lease, approximate: false };
    assert_eq!(Life::from(entry).end, Some(end));
}

#[test]
fn what_was_not_written_in_time_is_made_up_for() {
    let site = Site::new();
    // Killed after the attach and before the line; and a detach that came to its end without one.
    drop(site.daemon("a", &[], &[], moment(50)));
    let (live, gone) = (life(1, 1001, 100, None), life(2, 1001, 110, None));
    let mut next = site.daemon("a", &[live], &[(gone, Reason::Gone)], moment(900));
    next.work();
    assert_eq!(site.told("audit.log"), "daemon daemon end:2 alive:1");
    assert_eq!(site.end("audit.log", 2).start, at(110));
}

#[test]
fn a_host_that_was_restarted_ended_everything_when_it_started() {
    let site = Site::new();
    let mut crashed = site.daemon("a", &[], &[], moment(50));
    let (early, late) = (life(1, 1001, 100, None), life(2, 1001, 5_000, None));
    crashed.heed_all([started(&early, 100), started(&late, 5_000)]);
    crashed.work();
    // Up for 400 s at 4000: started at 3600, and the clock is behind what it was.
    let mut next = site.daemon("b", &[], &[], moment(4_000));
    next.work();
    let end = |time| Some(End { time: at(time), reason: Reason::Reboot, approximate: true });
    assert_eq!((site.end("audit.log", 1).end, site.end("audit.log", 2).end), (end(3_600), end(4_000)));
    // The third start has nothing to add.
    let mut last = site.daemon("c", &[], &[], moment(9_000));
    last.work();
    assert!(site.told("audit.log").ends_with("daemon"), "{}", site.told("audit.log"));
}

#[test]
fn each_file_begins_with_what_lasts() {
    let mut site = Site::new();
    (site.config.size, site.config.keep) = (4096, 2);
    let mut daemon = site.daemon("a", &[], &[], moment(50));
    let old = life(1, 1001, 100, None);
    daemon.heed_all([started(&old, 100)]);
    daemon.work();
    for number in 2..100 {
        let brief = life(number, 1002, 200, None);
        daemon.heed_all([started(&brief, 200), ended(&brief, 210)]);
        daemon.work();
    }
    assert!(site.path("audit.log.2").exists() && !site.path("audit.log.3").exists());
    for name in ["audit.log", "audit.log.1", "audit.log.2"] {
        assert!(site.told(name).starts_with("daemon alive:1 "), "{}", site.told(name));
        assert!(fs::metadata(site.path(name)).unwrap().len() < 8192);
    }
    // Its start is in no file any more, and the host loses power.
    let mut next = site.daemon("b", &[], &[], moment(9_000));
    next.work();
    let found = site.end("audit.log", 1);
    assert_eq!((found.start, found.end.unwrap().reason), (at(100), Reason::Reboot));
    // Killed between setting one aside and beginning the next: the last one is as good.
    fs::rename(site.path("audit.log"), site.path("audit.log.1")).unwrap();
    let mut last = site.daemon("b", &[], &[], moment(9_100));
    last.heed_all([started(&old, 9_200)]);
    last.work();
    assert_eq!(site.told("audit.log"), "daemon start:1");
}

/// Puts a file where the folder has to be, or takes it away.
fn block(site: &Site, blocked: bool) {
    let (folder, aside) = (site.folder.path().join("audit"), site.folder.path().join("aside"));
    if blocked {
        fs::rename(&folder, aside).unwrap();
        fs::write(&folder, "in the way").unwrap();
        return;
    }
    fs::remove_file(&folder).unwrap();
    fs::rename(aside, &folder).unwrap();
}

#[test]
fn what_cannot_be_written_is_kept_or_counted() {
    let site = Site::new();
    let mut daemon = site.daemon("a", &[], &[], moment(50));
    daemon.heed_all([started(&life(1, 1001, 100, None), 100)]);
    daemon.work();
    block(&site, true);
    let second = life(2, 1001, 110, None);
    daemon.heed_all([started(&second, 110), ended(&second, 120)]);
    daemon.work();
    let error = daemon.error().unwrap();
    assert!(error.contains(site.folder.path().to_str().unwrap()), "{error}");
    assert_eq!((daemon.lost(), lasting(&daemon)), (0, 1));
    // What waits is in the answer.
    let sight = daemon.look(&query(None, ROOT), moment(130));
    assert_eq!((sight.open.len(), sight.files.len()), (1, 0));
    assert!(String::from_utf8(sight.unwritten).unwrap().contains("\"event\":\"end\""));
    block(&site, false);
    daemon.retry();
    assert_eq!((daemon.error(), daemon.lost()), (None, 0));
    assert_eq!(site.told("audit.log"), "daemon start:1 start:2 end:2");

    block(&site, true);
    for number in 3..2_000 {
        let brief = life(number, 1002, 200, None);
        daemon.heed_all([started(&brief, 200), ended(&brief, 210)]);
        daemon.work();
    }
    assert!(daemon.lines.len() <= MOST && daemon.lost() > 1_000, "{} {}", daemon.lines.len(), daemon.lost());
    daemon.census = Some(Box::new(|| vec![life(1, 1001, 100, None)]));
    block(&site, false);
    daemon.retry();
    let told = site.told("audit.log");
    assert!(told.ends_with(&format!(" lost:{} alive:1", daemon.lost())), "{told}");
    assert!(daemon.lines.is_empty());
}

#[test]
fn after_a_loss_what_lasts_is_asked() {
    let site = Site::new();
    let mut daemon = site.daemon("a", &[], &[], moment(50));
    let (seen, gone, unseen) = (life(1, 1001, 100, None), life(2, 1001, 100, None), life(3, 1001, 100, None));
    daemon.heed_all([started(&seen, 100), started(&gone, 100)]);
    daemon.work();
    // The queue was full: of the second's end and of the third's start nothing was told.
    daemon.census = Some(Box::new({
        let live = vec![seen, unseen.clone()];
        move || live.clone()
    }));
    daemon.shared.lose();
    daemon.shared.lose();
    daemon.work();
    let told = site.told("audit.log");
    assert!(told.starts_with("daemon start:1 start:2 lost:2 end:2 alive:3 alive:"), "{told}");
    let end = site.end("audit.log", 2).end.unwrap();
    assert_eq!((end.reason, end.approximate), (Reason::Gone, true));
    // What then comes out of the queue after all is no news, or the better word.
    daemon.heed_all([started(&unseen, 100), ended(&gone, 150)]);
    daemon.work();
    assert_eq!(site.told("audit.log").matches("start:3").count(), 0);
    assert!(!site.end("audit.log", 2).end.unwrap().approximate);
}

#[test]
fn a_file_that_was_removed_is_begun_again() {
    let site = Site::new();
    let mut daemon = site.daemon("a", &[], &[], moment(50));
    daemon.heed_all([started(&life(1, 1001, 100, None), 100)]);
    daemon.work();
    fs::remove_dir_all(site.folder.path().join("audit")).unwrap();
    daemon.heed_all([started(&life(2, 1001, 100, None), 100)]);
    daemon.work();
    let told = site.told("audit.log");
    assert!(
        told.starts_with("daemon alive:") && told.ends_with("start:2") && told.contains("alive:1"),
        "{told}"
    );
}

#[test]
fn a_file_that_somebody_put_there_is_completed() {
    let site = Site::new();
    let mut daemon = site.daemon("a", &[], &[], moment(50));
    daemon.heed_all([started(&life(1, 1001, 100, None), 100)]);
    daemon.work();
    fs::write(site.path("other"), "").unwrap();
    fs::rename(site.path("other"), site.path("audit.log")).unwrap();
    daemon.heed_all([started(&life(2, 1001, 100, None), 100)]);
    daemon.work();
    let told = site.told("audit.log");
    assert!(
        told.starts_with("daemon alive:") && told.ends_with("start:2") && told.contains("alive:1"),
        "{told}"
    );
}

#[test]
fn a_clock_that_was_set_is_told() {
    let site = Site::new();
    let mut daemon = site.daemon("a", &[], &[], moment(50));
    let first = life(1, 1001, 10_000, None);
    daemon.heed_all([started(&first, 10_000)]);
    daemon.work();
    // An hour back; also over a restart of the daemon.
    let now = Moment { wall: at(7_000), up: Duration::from_secs(1_600) };
    let sight = daemon.look(&query(None, ROOT), now);
    assert_eq!(sight.open[0].clock_stepped, -3_600);
    let mut next = site.daemon("a", std::slice::from_ref(&first), &[], now);
    next.heed(Message::Ended(Box::new(first), Reason::Detach, now), now);
    next.work();
    assert_eq!(site.end("audit.log", 1).clock_stepped, -3_600);
}

#[test]
fn without_a_file_what_lasts_is_known() {
    let mut daemon = Writer::new(None, "a", Arc::default());
    daemon.heed_all([started(&life(1, 1001, 100, None), 100), started(&life(2, 1002, 100, None), 100)]);
    daemon.heed_all([ended(&life(2, 1002, 100, None), 200)]);
    daemon.work();
    let sight = daemon.look(&query(None, ROOT), moment(300));
    assert_eq!((sight.open.len(), sight.files.len(), daemon.lost()), (1, 0, 0));
    assert_eq!(daemon.rest(Instant::now()), None);
    assert!(!Path::new("audit").exists());
}

#[test]
fn it_syncs_once_a_second_at_most() {
    let site = Site::new();
    let mut daemon = site.daemon("a", &[], &[], moment(50));
    daemon.heed_all([started(&life(1, 1001, 100, None), 100)]);
    daemon.work();
    // The first is on the disk at once.
    assert_eq!(daemon.rest(Instant::now()), None);
    let synced = daemon.synced.unwrap();
    daemon.heed_all([started(&life(2, 1001, 100, None), 100)]);
    daemon.work();
    assert_eq!((daemon.synced, daemon.rest(synced)), (Some(synced), Some(SYNC)));
    daemon.synced = synced.checked_sub(SYNC);
    daemon.work();
    assert_eq!(daemon.rest(Instant::now()), None);
}
