//! Twenty users attach and detach at random while everything around the daemon fails. At the end, kernel,
//! nftables, records, DNS and Consul agree exactly.
//!
//! A minute long; `make soak` makes it half an hour (`V6POD_SOAK`, in seconds). `V6POD_SEED` repeats a run's
//! choices, though not the machine's timing.

mod agreement;
mod chance;
mod chaos;
mod users;

use std::{
    env,
    fmt::Debug,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use v6pod_integration::{Consul, Host, UNLIMITED, User, eventually};

use crate::{agreement::Agreement, chance::Chance, chaos::Chaos, users::Tally};

const USERS: [&str; 20] = [
    "ada", "bea", "cid", "dan", "eve", "flo", "gus", "hal", "ida", "jan", "kim", "leo", "mia", "ned", "oda",
    "pia", "roy", "sue", "tom", "uma",
];
const PREFIX: &str = "2001:db8:1::/80";
/// What the last repairs may take: Consul's turn comes after up to 30 s.
const REST: Duration = Duration::from_secs(60);

#[test]
fn everything_agrees_after_a_soak() {
    let length = Duration::from_secs(setting("V6POD_SOAK", 60));
    let seed = setting("V6POD_SEED", u64::from(std::process::id()));
    eprintln!("soaking for {length:?}; V6POD_SEED={seed}");
    let host = Host::new("one", &USERS);
    let consul = Consul::in_memory(&host);
    let network = format!("[network.default]\nprefix = \"{PREFIX}\"\nisolation = \"user\"");
    let daemon = host.daemon(&format!("{network}\n[consul]\nprobation = 1\nsync = 5\n{UNLIMITED}"));
    let users: Vec<User> = USERS.iter().map(|name| host.user(name)).collect();
    let end = Instant::now() + length;
    let mut chaos = Chaos::new(&host, daemon, consul, Chance::new(seed));
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let live = |(user, chance)| scope.spawn(move || users::live(user, chance, end));
        let chances = (1..).map(|number| Chance::new(seed.wrapping_add(number)));
        let threads: Vec<_> = users.iter().zip(chances).map(live).collect();
        chaos.reign(end);
        threads.into_iter().map(|thread| thread.join().expect("a user's thread")).collect()
    });
    let mut sum = Tally::default();
    tallies.into_iter().for_each(|tally| sum.add(tally));
    eprintln!("{sum}\n{chaos}");
    assert!(sum.attached > 0 && sum.detached > 0 && chaos.kills() > 0, "nothing happened");

    let agreement = Agreement { host: &host, consul: chaos.consul(), names: users::all_names() };
    let mut last = Vec::new();
    eventually(REST, || agreement.reached(&sum.lives, chaos.cut()).map(|found| last = found));
    let limited = last.iter().filter(|told| told.is_limited()).count();
    eprintln!("at the end {} attachments, {limited} of them limited, and everything agrees", last.len());
    assert!(limited > 0, "nobody limited what may reach a container");
    sum.end();
    eventually(REST, || match agreement.reached(&[], &[]) {
        Ok(found) if found.is_empty() => Ok(()),
        Ok(found) => Err(format!("left: {found:?}")),
        Err(error) => Err(error),
    });
    chaos.daemon_is_healthy();
}

fn setting<T: FromStr<Err: Debug>>(name: &str, default: T) -> T {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{name}: {error:?}")))
}
