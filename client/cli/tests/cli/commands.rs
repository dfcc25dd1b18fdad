//! What each command prints and how it ends.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{
        fs::PermissionsExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tonic::Status;
use v6pod_proto::v1::{
    ExplainResponse, Network, RegistryStatus, StatusResponse, deactivate_request::Target,
    watch_response::Kind,
};

use crate::{
    Ran, Site,
    daemon::{Answers, Call, attachment, event},
    program,
};

fn two() -> Site {
    let attachments = vec![
        attachment("000000000001", "web", "c0ffee0123456789"),
        attachment("000000000002", "db", "c0ffee9999999999"),
    ];
    Site::new(Answers { attachments, ..Default::default() })
}

#[test]
fn list() {
    two().run(&["list"]).gives(
        "\
NAME  ADDRESS               NETWORK  CONTAINER     AGE
web   2001:db8::242:ac11:2  default  c0ffee012345  3m
db    2001:db8::242:ac11:2  default  c0ffee999999  3m
",
    );
}

#[test]
fn list_for_an_administrator() {
    let status = StatusResponse { caller_is_admin: true, ..Default::default() };
    let attachments = vec![attachment("000000000001", "web", "c0ffee0123456789")];
    Site::new(Answers { attachments, status, ..Default::default() }).run(&["ls"]).gives(
        "\
NAME  ADDRESS               NETWORK  CONTAINER     USER        AGE
web   2001:db8::242:ac11:2  default  c0ffee012345  4000000001  3m
",
    );
}

#[test]
fn list_of_nothing() {
    let site = Site::new(Answers::default());
    site.run(&["list"]).fails(0, "no attachments");
    site.run(&["list", "--json"]).gives("{\n  \"attachments\": []\n}\n");
}

#[test]
fn list_in_json() {
    let list = two().run(&["--json", "list"]);
    let attachments = list.json()["attachments"].clone();
    assert_eq!(attachments.as_array().unwrap().len(), 2);
    assert_eq!(attachments[1]["container_id"], "c0ffee9999999999");
    assert_eq!(
        (&attachments[0]["uid"], &attachments[0]["state"]),
        (&4_000_000_001_u32.into(), &"active".into())
    );
}

#[test]
fn show() {
    let site = two();
    for which in ["000000000001", "web", "c0ffee0123456789", "c0ffee0", "web.v6pod"] {
        let shown = site.run(&["show", which]);
        assert!(
            shown.stdout.starts_with("id:              000000000001\nname:            web\n"),
            "{shown:?}"
        );
    }
    assert_eq!(site.run(&["show", "db", "--json"]).json()["attachment"]["id"], "000000000002");
    site.run(&["show", "nobody"])
        .fails(3, "v6pod: there is no attachment \"nobody\": v6pod list shows those there are");
    site.run(&["show", "c0f"])
        .fails(3, "v6pod: there is no attachment \"c0f\": of a container's id give 4 or more characters");
    site.run(&["show", "c0ffee"]).fails(
        1,
        "v6pod: \"c0ffee\" fits 2 attachments: give the id of one: 000000000001 (web), 000000000002 (db)",
    );
}

#[test]
fn check() {
    let site = two();
    site.run(&["check", "web"]).gives("web: all is well\n");
    assert!(matches!(site.daemon.call(), Call::Check(id) if id == "000000000001"));
    let problems = vec!["the link is down".to_owned()];
    let amiss = Site::new(Answers { problems, ..two_answers() });
    let checked = amiss.run(&["check", "c0ffee9"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(1), ""), "{checked:?}");
    assert_eq!(checked.stdout, "db: 1 problem\n  the link is down\n");
    let checked = amiss.run(&["check", "db", "--json"]);
    assert_eq!((checked.code, &checked.json()["problems"][0]), (Some(1), &"the link is down".into()));
}

#[test]
fn can_i() {
    let site = Site::new(Answers::default());
    let asked = ["can-i", "--network", "n", "--name", "web", "--address", "2001:DB8::7", "--user", "root"];
    site.run(&asked).gives("allowed:  yes\nuser:     uid 4000000001, charged to root (uid 0)\n");
    let Call::Explain(request) = site.daemon.call() else { panic!("another call") };
    assert_eq!((request.network.as_str(), request.name.as_str()), ("n", "web"));
    assert_eq!((request.address.as_str(), request.uid), ("2001:db8::7", Some(0)));
    site.run(&["can-i", "--user", "no such user"])
        .fails(3, "v6pod: there is no user \"no such user\" in /etc/passwd: give the uid");

    let told =
        ExplainResponse { reason: "you may not".to_owned(), rule: "x:3".to_owned(), ..Default::default() };
    let refused = Site::new(Answers { told, ..Default::default() });
    let answer = refused.run(&["can-i"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(1), ""), "{answer:?}");
    assert_eq!(answer.stdout, "allowed:  no: you may not\nuser:     root (uid 0)\nrule:     x:3\n");
    let Call::Explain(request) = refused.daemon.call() else { panic!("another call") };
    assert_eq!((request.uid, request.name.as_str()), (None, ""));
    let answer = refused.run(&["can-i", "--json"]);
    let json = answer.json();
    assert_eq!((answer.code, &json["allowed"], &json["rule"]), (Some(1), &false.into(), &"x:3".into()));
    assert!(json["attachments"].is_null());

    let refusal = Some(Status::permission_denied("only administrators may ask what others may"));
    Site::new(Answers { refusal, ..Default::default() })
        .run(&["can-i", "--user", "0"])
        .fails(1, "v6pod: cannot ask the rules: only administrators may ask what others may");
}

fn two_answers() -> Answers {
    Answers { attachments: vec![attachment("000000000002", "db", "c0ffee9999999999")], ..Default::default() }
}

#[test]
fn detach() {
    let site = two();
    site.run(&["detach", "db"]).gives("db: detached from 2001:db8::242:ac11:2\n");
    assert!(matches!(site.daemon.call(), Call::Deactivate(Target::Id(id)) if id == "000000000002"));
    assert_eq!(site.run(&["detach", "db", "--json"]).json()["attachment"]["name"], "db");
    let _ = site.daemon.call();
    assert_eq!(site.run(&["detach", "nobody"]).code, Some(3));
    assert_eq!(site.run(&["detach", ""]).code, Some(3));
    assert!(site.daemon.is_quiet());
}

#[test]
fn expose_and_close() {
    let with = |inbound: &str| {
        let mut attachment = attachment("000000000001", "web", "");
        inbound.clone_into(&mut attachment.inbound);
        Site::new(Answers { attachments: vec![attachment], ..Default::default() })
    };
    for (inbound, arguments, asked, said) in [
        ("open", &["expose", "web", "80"][..], "80/tcp", "web: open for all: 80/tcp\n"),
        (
            "80/tcp",
            &["expose", "web", "443", "5-6/udp"],
            "80/tcp,443/tcp,5-6/udp",
            "web: open for all: 80/tcp, 443/tcp, 5-6/udp\n",
        ),
        ("80/tcp", &["expose", "web", "--all"], "open", "web: everything may reach it\n"),
        (
            "80/tcp",
            &["expose", "web", "--established"],
            "established",
            "web: only what belongs to what it began reaches it\n",
        ),
        ("80/tcp,443/tcp", &["close", "web", "80/tcp"], "443/tcp", "web: open for all: 443/tcp\n"),
        (
            "80/tcp",
            &["close", "web", "80/tcp"],
            "established",
            "web: only what belongs to what it began reaches it\n",
        ),
        ("open", &["close", "web"], "established", "web: only what belongs to what it began reaches it\n"),
    ] {
        let site = with(inbound);
        site.run(arguments).gives(said);
        assert!(
            matches!(site.daemon.call(), Call::Expose(id, found) if id == "000000000001" && found == asked),
            "{arguments:?}"
        );
    }
    let site = with("80/tcp");
    let ran = site.run(&["close", "web", "22"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "web: open for all: 80/tcp\n"), "{ran:?}");
    assert_eq!(ran.stderr, "v6pod: 22/tcp was not open\n");
    let _ = site.daemon.call();
    let site = with("open");
    let error = "v6pod: everything may reach web: open what shall stay open with v6pod expose web PORT..., or close all with v6pod close web";
    site.run(&["close", "web", "80"]).fails(1, error);
    assert_eq!(site.run(&["expose", "nobody", "80"]).code, Some(3));
    assert_eq!(site.run(&["expose", "web", "80/http"]).code, Some(2));
    assert!(site.daemon.is_quiet());
    assert_eq!(site.run(&["expose", "web", "80", "--json"]).json()["attachment"]["inbound"], "80/tcp");
}

#[test]
fn what_the_daemon_refuses_is_passed_on() {
    let refusing = |refusal| Site::new(Answers { refusal: Some(refusal), ..two_answers() });
    refusing(Status::internal("the disk\nis full"))
        .run(&["detach", "db"])
        .fails(1, r"v6pod: cannot detach 000000000002: the disk\nis full");
    refusing(Status::not_found("there is no attachment 000000000002"))
        .run(&["check", "db"])
        .fails(3, "v6pod: cannot check 000000000002: there is no attachment 000000000002");
    refusing(Status::unavailable("v6podd is stopping: try again in a moment"))
        .run(&["detach", "db"])
        .fails(4, "v6pod: cannot detach 000000000002: v6podd is stopping: try again in a moment");
}

fn status(healthy: bool) -> Site {
    let network = Network {
        name: "default".to_owned(),
        driver: "bridge".to_owned(),
        prefix: "2001:db8::/80".to_owned(),
        default: true,
        ..Default::default()
    };
    let registry = RegistryStatus {
        kind: "consul".to_owned(),
        endpoint: "127.0.0.1:8500".to_owned(),
        healthy,
        error: if healthy { String::new() } else { "connection refused".to_owned() },
        names: 2,
    };
    let status = StatusResponse {
        version: "0.1.0".to_owned(),
        networks: vec![network],
        registries: vec![registry],
        caller_uid: 4_000_000_001,
        ..Default::default()
    };
    Site::new(Answers { status, ..Default::default() })
}

#[test]
fn status_of_a_healthy_daemon() {
    status(true).run(&["status"]).gives(
        "\
v6podd:       0.1.0
since:        -
attachments:  0
guard:        -
you:          uid 4000000001
audit:        -

NETWORK   PREFIX         GATEWAY  DRIVER  BRIDGE  MTU  ADDRESSES  ISOLATION  ATTACHMENTS
default*  2001:db8::/80  -        bridge  -       0    -          -          0

REGISTRY  ENDPOINT        HEALTH  NAMES
consul    127.0.0.1:8500  ok      2
",
    );
}

#[test]
fn status_of_an_unhealthy_registry() {
    let site = status(false);
    for arguments in [&["status"][..], &["status", "--json"]] {
        let status = site.run(arguments);
        assert_eq!(status.code, Some(1), "{status:?}");
        let line = "v6pod: the registry consul (127.0.0.1:8500) is unhealthy: connection refused\n";
        assert_eq!(status.stderr, line);
        assert!(!status.stdout.is_empty());
    }
    assert_eq!(site.run(&["status", "--json"]).json()["registries"][0]["healthy"], false);
}

fn events() -> Answers {
    let web = || Some(attachment("000000000001", "web", "c0ffee0123456789"));
    let events = vec![event(Kind::Existing, web()), event(Kind::Synced, None), event(Kind::Removed, web())];
    Answers { events, ..Default::default() }
}

#[test]
fn watch_until_the_daemon_ends_it() {
    let site = Site::new(Answers { watch_ends: true, ..events() });
    let watch = site.run(&["watch"]);
    assert_eq!(watch.code, Some(4));
    assert_eq!(watch.stderr, "v6pod: v6podd went away: start v6pod watch again when it is back\n");
    let lines: Vec<_> = watch.stdout.lines().map(|line| line.split_once("  ").unwrap()).collect();
    let rest = "2001:db8::242:ac11:2  web  default  c0ffee012345";
    assert_eq!(lines[0].1, format!("existing  {rest}"));
    assert_eq!(lines[1].1, format!("removed   {rest}"));
    assert_eq!(lines.len(), 2);
    let time = lines[0].0;
    assert!(time.len() == 20 && time.starts_with("20") && time.ends_with('Z'), "{time}");
}

#[test]
fn watch_that_fell_behind() {
    let slow = Err(Status::resource_exhausted("you were too slow"));
    let site = Site::new(Answers { events: vec![slow], ..Default::default() });
    site.run(&["watch"])
        .fails(1, "v6pod: v6podd ended the watch: you were too slow: start v6pod watch again");
}

#[test]
fn watch_in_json_until_interrupted() {
    let site = Site::new(events());
    let mut watch = site.command(&["watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut kinds = Vec::new();
    for line in lines.by_ref().take(3) {
        let event: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        kinds.push((event["kind"].as_str().unwrap().to_owned(), event["attachment"]["name"] == "web"));
    }
    let kind = |kind: &str, named| (kind.to_owned(), named);
    assert_eq!(kinds, [kind("existing", true), kind("synced", false), kind("removed", true)]);
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    let status = watch.wait().unwrap();
    // What a shell calls 130.
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()));
    assert!(lines.next().is_none());
}

/// As a shell without job control starts what it puts in the background.
#[test]
fn watch_with_interrupts_ignored_is_ended_by_sigterm() {
    let site = Site::new(events());
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_v6pod"), "watch"]);
    let mut watch = shell.env("V6POD_SOCKET", site.socket()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    kill_process(Pid::from_child(&watch), Signal::TERM).unwrap();
    assert_eq!(watch.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn readers_may_leave() {
    for arguments in [&["list"][..], &["status", "--json"], &["watch"]] {
        let site = Site::new(events_and_two());
        let mut child =
            site.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

fn events_and_two() -> Answers {
    Answers { attachments: two_answers().attachments, ..events() }
}

#[test]
fn the_daemon_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let path = socket.to_str().unwrap();
    let advice = "start it, or name its socket with --socket";
    let commands: [&[&str]; 8] = [
        &["list"],
        &["show", "x"],
        &["watch"],
        &["status"],
        &["attach", "/proc/self/ns/net"],
        &["detach", "x"],
        &["check", "x"],
        &["history"],
    ];
    for command in commands {
        let away = Ran::of(program(command).args(["--socket", path]));
        away.fails(4, &format!("v6pod: v6podd is not running (no {path}): {advice}"));
    }
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let away = Ran::of(program(&["list"]).env("V6POD_SOCKET", &socket));
    away.fails(4, &format!("v6pod: v6podd is not running (nobody listens on {path}): {advice}"));
}

#[test]
fn the_socket_is_closed_to_the_user() {
    let site = Site::new(Answers::default());
    fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(site.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    // Where everybody may reach it. Another process copies: had this one the file open for writing, a
    // child that another test starts now would have it too, and it could not be executed (ETXTBSY).
    let copy = site.folder.path().join("v6pod");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_v6pod")).arg(&copy).status().unwrap();
    assert!(copied.success());
    let socket = site.socket();
    let mut command = Command::new(copy);
    command.arg("list").env("V6POD_SOCKET", &socket).uid(65534).gid(65534);
    Ran::of(&mut command).fails(
        1,
        &format!(
            "v6pod: you may not use {}: ask the administrator, who decides by its mode and group",
            socket.display()
        ),
    );
}

#[test]
fn a_wrong_command_line() {
    let site = Site::new(Answers::default());
    let wrong: [&[&str]; 12] = [
        &["attach", "--mac", "zz", "1"],
        &["attach", "--inbound", "foo", "1"],
        &["attach", "--interface", "a/b", "1"],
        &["list", "--socket", "rel"],
        &[],
        &["lst"],
        &["show"],
        &["list", "x"],
        &["attach", "--address", "x", "1"],
        &["history", "--at", "yesterday"],
        &["history", "--limit", "0"],
        &["history", "--limit", "1001"],
    ];
    for arguments in wrong {
        let ran = site.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("--help"), "{ran:?}");
    }
    Ran::of(program(&["list"]).env("V6POD_SOCKET", "x/y"))
        .fails(2, "v6pod: V6POD_SOCKET must be an absolute path, not \"x/y\"");
}

#[test]
fn help_tells_the_exit_codes() {
    let help = program(&["--help"]).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    for line in ["  2  the command line is wrong", "  4  v6podd is not running, or went away"] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(
        Ran::of(&mut program(&["--version"])).stdout,
        concat!("v6pod ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_daemon_that_hangs_is_waited_for_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let since = Instant::now();
    let listed = Ran::of(program(&["list"]).env("V6POD_SOCKET", &socket));
    assert_eq!((listed.code, listed.stdout.as_str()), (Some(1), ""), "{listed:?}");
    assert!(listed.stderr.contains(": v6podd did not answer within 10 s: "), "{listed:?}");
    assert!((Duration::from_secs(9)..Duration::from_secs(30)).contains(&since.elapsed()));
}
