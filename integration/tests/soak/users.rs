//! What one user does: makes namespaces, attaches them, and ends them in every way there is.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use v6pod_integration::{Attached, Background, Namespaces, User, attached, test_client};

use crate::{USERS, chance::Chance};

/// How many attachments a user has at once, at most.
const MOST: usize = 4;
/// What an attach may take while the daemon is being killed: the client itself gives up after 30 s.
const LIMIT: Duration = Duration::from_secs(60);
/// Few, so that they come again, and collide.
const NAMES: [&str; 4] = ["web", "shop", "mail", "db"];

/// An attachment that was made and not yet ended.
pub struct Life {
    pub attached: Attached,
    namespace: Namespaces,
    /// The client that holds the lease, if there is one.
    holder: Option<Background>,
}

/// What came of a user's doings.
#[derive(Default)]
pub struct Tally {
    pub attached: usize,
    pub detached: usize,
    failed: usize,
    pub lives: Vec<Life>,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.attached += other.attached;
        self.detached += other.detached;
        self.failed += other.failed;
        self.lives.extend(other.lives);
    }

    /// Ends what lives.
    pub fn end(self) {
        for life in self.lives {
            life.namespace.kill();
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attached, detached, failed, lives } = self;
        write!(
            f,
            "{attached} attached, {failed} failed to, {detached} ended by their users, {} live",
            lives.len()
        )
    }
}

/// The names that anybody may have used, as they are published.
pub fn all_names() -> Vec<String> {
    let of = |user: &'static str| NAMES.iter().map(move |name| format!("{user}-{name}"));
    USERS.iter().flat_map(|user| of(user)).chain(["shared".to_owned()]).collect()
}

/// Lives as a user until the end.
pub fn live(user: &User, mut chance: Chance, end: Instant) -> Tally {
    let mut tally = Tally::default();
    while Instant::now() < end {
        if tally.lives.len() < MOST && chance.percent(60) {
            match attach(user, &mut chance) {
                Some(life) => {
                    tally.attached += 1;
                    limit(user, &life, &mut chance);
                    tally.lives.push(life);
                }
                None => tally.failed += 1,
            }
        } else if !tally.lives.is_empty() {
            let life = tally.lives.swap_remove(chance.below(tally.lives.len()));
            finish(user, life, &mut chance);
            tally.detached += 1;
        }
        thread::sleep(chance.millis(20, 400));
    }
    tally
}

/// Attaches a new namespace. If that fails, whatever became of it ends with the namespace.
fn attach(user: &User, chance: &mut Chance) -> Option<Life> {
    let namespace = Namespaces::new(user, 1);
    let name = match chance.below(10) {
        0..2 => String::new(),
        2 => "shared".to_owned(),
        _ => format!("{}-{}", user.name(), NAMES[chance.below(NAMES.len())]),
    };
    let line = format!("{} {name}\n", namespace.pids()[0]);
    let leased = chance.percent(50);
    let made = if leased { hold(user, &line) } else { plain(user, &line).map(|attached| (attached, None)) };
    match made {
        Some((attached, holder)) => Some(Life { attached, namespace, holder }),
        None => {
            namespace.kill();
            None
        }
    }
}

/// Limits what may reach it, now and then, and changes that now and then. Whatever they say: the daemon may be away.
fn limit(user: &User, life: &Life, chance: &mut Chance) {
    let id = life.attached.id.as_str();
    let ways: [&[&str]; 4] = [
        &["close", id],
        &["expose", id, "80/tcp", "5000-5010/udp"],
        &["expose", id, "--all"],
        &["close", id],
    ];
    while chance.percent(60) {
        user.try_run(["v6pod"].iter().chain(ways[chance.below(ways.len())]));
    }
}

fn plain(user: &User, line: &str) -> Option<Attached> {
    let output = test_client(user, &["attach", "1"], line).limit(LIMIT).try_run();
    output.success().then(|| attached(&output.stdout).remove(0))
}

fn hold(user: &User, line: &str) -> Option<(Attached, Option<Background>)> {
    let mut client = test_client(user, &["attach", "1", "hold"], line).spawn();
    let start = Instant::now();
    loop {
        let running = client.is_running();
        let log = client.log();
        if log.contains("\"id\"") {
            return Some((attached(&log).remove(0), Some(client)));
        }
        if !running || log.contains("\"error\"") {
            return None;
        }
        assert!(start.elapsed() < LIMIT, "the client neither succeeds nor fails\n{client}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Ends an attachment in one of the ways there are, and the namespace in any case.
fn finish(user: &User, life: Life, chance: &mut Chance) {
    let Life { attached, namespace, holder } = life;
    match (chance.below(4), holder) {
        (0, Some(mut holder)) => holder.kill9(),
        (0 | 1, _) => {
            // Whatever it says: the daemon may be away.
            test_client(user, &["detach", "1"], &format!("{}\n", attached.id)).try_run();
        }
        (2, _) => {
            let inside = [
                "nsenter",
                "--user",
                "--net",
                "--target",
                &namespace.pids()[0].to_string(),
                "--",
                "ip",
                "link",
            ]
            .map(str::to_owned);
            user.try_run(inside.iter().map(String::as_str).chain(["del", "v6pod0"]));
        }
        _ => {}
    }
    namespace.kill();
}
