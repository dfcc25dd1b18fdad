//! On a machine that systemd has booted.

use serde_json::Value;
use v6pod_integration::{LATER, eventually};

use crate::{machine::Machine, restart::Traffic};

/// A network namespace of alice's, attached under this name as long as a process runs; gives the command.
const HOLD: &str = "
unshare --user --map-root-user --net sleep infinity & namespace=$!
until [ \"$(readlink /proc/$namespace/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do sleep 0.02; done
echo $namespace held | exec -a holder /usr/libexec/v6pod/v6pod-test-client attach 1 hold";

/// A ping every 20 ms to the only attachment, from when it first answers.
#[track_caller]
fn traffic(machine: &Machine) -> Traffic {
    let address = &machine.list()[0].1;
    eventually(LATER, || {
        let ping = machine.in_network(&["ping", "-6", "-c1", "-W1", address]).try_run();
        if ping.success() { Ok(()) } else { Err(ping) }
    });
    Traffic::of(machine.in_network(&["ping", "-6", "-n", "-i", "0.02", address]))
}

/// Waits until systemd keeps so many descriptors: the daemon sends them after it has answered.
#[track_caller]
fn eventually_stored(machine: &Machine, count: &str) {
    eventually(LATER, || match machine.property("NFileDescriptorStore") {
        found if found == count => Ok(()),
        found => Err(format!("{found} are stored, and not {count}")),
    });
}

#[test]
fn it_is_started_by_the_socket_reloaded_and_logged() {
    let machine = Machine::boot("", "");
    // As the boot left it.
    machine.run(&["systemctl", "is-active", "v6podd.socket"]);
    let folders = machine.run(&["stat", "-c%a", "/run/v6pod", "/run/v6pod/v6pod.sock", "/var/lib/v6pod"]);
    assert_eq!(folders.text(), "755\n666\n700", "{folders}");
    assert_eq!(machine.property("StatusText"), "0 attached; guard: nftables");
    assert_eq!(
        (machine.property("Type"), machine.property("NotifyAccess")),
        ("notify".into(), "main".into())
    );
    // A full stop leaves the socket, and the next caller starts it.
    machine.run(&["systemctl", "stop", "v6podd.service"]);
    assert_eq!(machine.property("ActiveState"), "inactive");
    let status = machine.run(&["v6pod", "status"]);
    assert!(status.stdout.contains("v6podd"), "{status}");
    assert_eq!(machine.property("ActiveState"), "active");
    // The unit lets it do what it does when it searches.
    machine.command(&["v6pod", "history"]).try_run();
    assert!(!machine.log().contains("does not give way"), "{}", machine.log());

    machine.sh("printf '[[rule]]\\nattachments = 3\\n' >>/etc/v6pod/v6podd.toml");
    machine.run(&["systemctl", "reload", "v6podd"]);
    machine.sh("printf 'nonsense' >>/etc/v6pod/v6podd.toml");
    // Whoever reloads it is told; whoever only sends the signal finds it in the log.
    let refused = machine.command(&["systemctl", "reload", "v6podd"]).try_run();
    assert!(!refused.success() && refused.stderr.contains("failed"), "{refused}");
    assert!(!machine.log().contains("not reloaded"), "{}", machine.log());
    machine.run(&["systemctl", "kill", "--kill-who=main", "--signal=HUP", "v6podd.service"]);
    let entries = eventually(LATER, || {
        let log = machine.run(&["journalctl", "--unit=v6podd", "--output=json", "_COMM=v6podd"]).stdout;
        let entries: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if log.contains("not reloaded") { Ok(entries) } else { Err(log) }
    });
    let priority = |text: &str| {
        let entry =
            entries.iter().find(|entry| entry["MESSAGE"].as_str().is_some_and(|said| said.contains(text)));
        entry.and_then(|entry| entry["PRIORITY"].as_str()).unwrap_or("no such line").to_owned()
    };
    assert_eq!((priority(" ready "), priority(" reloaded "), priority("not reloaded")), {
        ("6".to_owned(), "6".to_owned(), "3".to_owned())
    });
    assert_eq!(
        (machine.property("ActiveState"), machine.property("NRestarts")),
        ("active".into(), "0".into())
    );
}

#[test]
fn a_container_of_a_logged_in_user_outlives_restarts() {
    let machine = Machine::boot("", "");
    machine.run(&["v6pod", "setup", "podman"]);
    machine.alice("loginctl show-session \"$XDG_SESSION_ID\" --property=Name | grep -qx Name=alice").run();
    machine.alice("podman run --detach --name web localhost/busybox sleep 10000").run();
    machine.eventually_named(&["web"]);
    eventually_stored(&machine, "1");
    let traffic = traffic(&machine);
    for command in [
        &["systemctl", "restart", "v6podd"],
        &["systemctl", "kill", "--signal=KILL", "v6podd"] as &[_],
        &["systemctl", "restart", "v6podd"],
    ] {
        machine.replaced(command);
        machine.eventually_named(&["web"]);
        eventually_stored(&machine, "1");
    }
    // Nobody need be there for it: neither the service nor its socket.
    machine.run(&["systemctl", "stop", "v6podd.socket", "v6podd.service"]);
    machine.run(&["systemctl", "start", "v6podd.service"]);
    machine.eventually_named(&["web"]);
    traffic.lost_nothing();
    machine.alice("podman exec web ip -6 -o address show v6pod0 | grep -q 2001:db8:1:").run();
    machine.alice("podman stop --time 0 web").run();
    machine.eventually_named(&[]);
    eventually_stored(&machine, "0");
}

/// Without the rights to look into other processes' /proc, only the store can tell of a lease.
#[test]
fn leases_come_back_from_the_store() {
    let blind = "CapabilityBoundingSet=\nCapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_ADMIN CAP_SETUID CAP_NET_RAW \
                 CAP_NET_BIND_SERVICE CAP_CHOWN\n";
    for (store, kept) in [(4096, true), (0, false)] {
        let drop_in = format!("[Service]\n{blind}FileDescriptorStoreMax={store}\n");
        let machine = Machine::boot(&drop_in, "");
        let client = machine.alice(HOLD).spawn();
        machine.eventually_named(&["held"]);
        machine.replaced(&["systemctl", "kill", "--signal=KILL", "v6podd"]);
        machine.eventually_named(&["held"]);
        let log = machine.log();
        assert_eq!(log.contains("its lease cannot be found again"), !kept, "{log}\n{client}");
        machine.run(&["pkill", "-9", "-f", "^holder"]);
        if kept {
            machine.eventually_named(&[]);
        } else {
            // What the store is good for: now it is the namespace's end that it takes.
            machine.run(&["pkill", "-9", "-x", "sleep"]);
            machine.eventually_named(&[]);
        }
    }
}

#[test]
fn the_watchdog_ends_a_daemon_that_hangs() {
    let machine = Machine::boot("[Service]\nWatchdogSec=10\n", "");
    let _client = machine.alice(HOLD).spawn();
    machine.eventually_named(&["held"]);
    let traffic = traffic(&machine);
    // For as long as it takes to be ended twice over, it is not. (With less time than 10 s, a busy machine would
    // hold it up for that long.)
    let before = machine.property("WatchdogTimestampMonotonic").parse::<u64>().expect("microseconds");
    eventually(2 * LATER, || {
        let now = machine.property("WatchdogTimestampMonotonic").parse::<u64>().expect("microseconds");
        if now > before + 20_000_000 { Ok(()) } else { Err(now) }
    });
    assert_eq!(machine.property("NRestarts"), "0");
    machine.replaced(&["systemctl", "kill", "--signal=STOP", "v6podd"]);
    machine.eventually_named(&["held"]);
    assert!(machine.log().to_lowercase().contains("watchdog timeout"), "{}", machine.log());
    traffic.lost_nothing();
}
