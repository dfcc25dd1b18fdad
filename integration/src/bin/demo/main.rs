//! `make demo`: two containers of two users talk IPv6, in a throw-away host.
//!
//! Everything shown is real: the commands are run as they are printed, by unmodified podman as ordinary
//! users, and what they print is what they said. The demo is a check as well: it ends with status 1 and says
//! why at the first thing that is not as it should be.

mod screen;

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    time::Instant,
};

use v6pod_integration::Host;

use self::screen::{Screen, Shell};

const CONFIGURATION: &str = "prefix = \"2001:db8::/80\"\n";
/// How every address of that prefix begins, as people write it.
const PREFIX: &str = "2001:db8::";
const PAGE: &str = "hello from a container";

fn main() -> ExitCode {
    let screen = Screen::new();
    // The harness panics when there is no host to be had; its message is for people.
    panic::set_hook(Box::new(|_| {}));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| demonstrate(&screen)));
    match outcome.unwrap_or_else(|panic| Err(words(&*panic))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\ndemo: {}", problem.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(screen: &Screen) -> Result<(), String> {
    let start = Instant::now();
    screen.line("A throw-away host with two users; nothing of this machine is changed.");
    let host = Host::new("demo", &["alice", "bob"]);
    tell(screen, &host)?;
    drop(host);
    screen.line(&format!("\nAll that took {:.1} s.", start.elapsed().as_secs_f64()));
    Ok(())
}

fn tell(screen: &Screen, host: &Host) -> Result<(), String> {
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let (root, alice, bob) = (Shell::root(host), Shell::alice(&alice), Shell::bob(&bob));

    screen.say("The administrator gives the host an IPv6 prefix and starts the daemon.");
    let _daemon = host.daemon(CONFIGURATION);
    screen.run(&root, "cat /etc/v6pod/v6podd.toml", contains(PREFIX))?;
    screen.started(&root, "v6podd &");

    screen.say("Two users, in no special group, start containers with plain rootless podman.");
    screen.once(&alice, "podman run -d --name web busybox httpd -fv -p '[::]:80' -h /var/www")?;
    screen.once(&bob, "podman run -d --name shell --dns 2001:db8::1 busybox sleep 1000")?;

    screen.say("Each has an address of its own.");
    let list = screen.run(&root, "v6pod list", |text| contains("web")(text).and(contains("shell")(text)))?;
    let inside = "podman exec shell ip -6 -o address show v6pod0 scope global";
    let client = address(&screen.run(&bob, inside, contains(PREFIX))?)?;
    contains(&client)(&list).map_err(|problem| format!("v6pod list: {problem}"))?;

    screen.say("bob finds alice's container by its name, and fetches a page over IPv6.");
    let asked = screen.run(&bob, "podman exec shell nslookup -type=aaaa web.v6pod", contains(PREFIX))?;
    let server = asked.lines().filter_map(|line| line.strip_prefix("Address: ")).next_back();
    let server = server.ok_or("nslookup: it found no address")?.trim();
    contains(server)(&list).map_err(|problem| format!("v6pod list: {problem}"))?;
    screen.run(&bob, "podman exec shell wget -qO- http://web.v6pod/", contains(PAGE))?;

    screen.say("alice's server saw bob's container itself: no NAT, no proxy.");
    screen.run(&alice, "podman logs web 2>&1", contains(&client))?;

    screen.say("They stop, and nothing is left: no attachment, no link, no name.");
    screen.once(&alice, "podman stop -t 0 web")?;
    screen.once(&bob, "podman stop -t 0 shell")?;
    screen.run(&root, "v6pod list", |text| lacks(server)(text).and(lacks(&client)(text)))?;
    screen.run(&root, "ip -brief link show master v6pod0", is_empty)?;
    screen.run(&root, "dig @2001:db8::1 web.v6pod AAAA | grep status", contains("NXDOMAIN"))?;
    Ok(())
}

/// The address in the output of `ip address`.
fn address(shown: &str) -> Result<String, String> {
    let word = shown.split_whitespace().skip_while(|word| *word != "inet6").nth(1).unwrap_or_default();
    word.strip_suffix("/80").map(str::to_owned).ok_or_else(|| format!("no /80 address in\n{shown}"))
}

fn contains(wanted: &str) -> impl Fn(&str) -> Result<(), String> {
    move |text| if text.contains(wanted) { Ok(()) } else { Err(format!("{wanted} is not in what it said")) }
}

fn lacks(unwanted: &str) -> impl Fn(&str) -> Result<(), String> {
    move |text| if text.contains(unwanted) { Err(format!("{unwanted} is still there")) } else { Ok(()) }
}

fn is_empty(text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Ok(()) } else { Err("something is left".to_owned()) }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
