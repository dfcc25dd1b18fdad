//! The OCI hook under runc and crun without any engine, and under rootless podman.

use serde_json::{Value, json};
use v6pod_integration::{Command, Daemon, Host, LATER, Output, User, eventually};

const HOOK: &str = "/usr/libexec/v6pod/v6pod-hook";
const HOOKS: &str = "/usr/share/containers/oci/hooks.d";
const BUNDLE: &str = "/run/bundle";
/// What a container does first, and what it has then.
const LOOK: &str = "ip -6 address show dev v6pod0; ip -6 route";

struct Site {
    daemon: Daemon,
    host: Host,
}

impl Site {
    /// A host whose podman calls the real slirp4netns.
    fn new() -> Self {
        Self::on(Host::builder("one").without_wrapper().user("alice").build())
    }

    fn on(host: Host) -> Self {
        host.run(["ln", "-s", "/usr/libexec/v6pod/slirp4netns", HOOK]);
        let networks = "[network.default]\nprefix = \"2001:db8:1::/80\"\nallow_static = true\ndefault = true\n\
             [network.blue]\nprefix = \"2001:db8:2::/80\"\nbridge = \"blue0\"\n";
        let daemon = host.daemon(networks);
        Self { daemon, host }
    }

    /// Installs one of the packaged hook files for everybody's podman.
    fn install(&self, text: &str) {
        self.host.write(format!("{HOOKS}/v6pod.json"), text);
    }

    /// Makes a bundle whose container runs a script, and has the hook and more in its configuration.
    fn bundle(&self, script: &str, arguments: &[&str], change: impl FnOnce(&mut Value)) {
        self.host.sh(&format!(
            "rm -rf {BUNDLE}; mkdir -p {BUNDLE}/rootfs/bin {BUNDLE}/rootfs/proc {BUNDLE}/rootfs/sys {BUNDLE}/rootfs/dev
            cp /bin/busybox {BUNDLE}/rootfs/bin; cd {BUNDLE}; runc spec"
        ));
        let path = format!("{BUNDLE}/config.json");
        let text = std::fs::read(self.host.path(&path)).expect("runc wrote it");
        let mut config: Value = serde_json::from_slice(&text).expect("runc writes JSON");
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = json!(["/bin/busybox", "sh", "-c", script]);
        config["process"]["env"] = json!(["PATH=/bin"]);
        // The harness' cgroup file system has no controllers.
        config["linux"]["resources"] = json!({});
        let hook = |stage: &str| {
            let args: Vec<&str> = ["v6pod-hook", stage].iter().chain(arguments).copied().collect();
            json!([{ "path": HOOK, "args": args }])
        };
        config["hooks"] = json!({ "createRuntime": hook("createRuntime"), "poststop": hook("poststop") });
        change(&mut config);
        self.host.write(&path, config.to_string());
        self.host
            .sh(&format!("for name in ip sh cat sleep; do ln -sf busybox {BUNDLE}/rootfs/bin/$name; done"));
    }

    /// A command of a runtime's. Each test has container ids of its own: hosts share their cgroups, and runc
    /// ends whatever is in one of its container's name.
    fn runtime(&self, runtime: &str, arguments: &[&str]) -> Command {
        let script = format!("cd {BUNDLE}; exec \"$@\"");
        let words = ["bash", "-c", &script, "-", runtime, "--root", "/run/runtime"];
        self.host.command(words.iter().chain(arguments))
    }

    fn attachments(&self) -> Vec<Value> {
        let list = self.host.run(["v6pod", "list", "--json"]).json();
        list["attachments"].as_array().cloned().unwrap_or_default()
    }

    #[track_caller]
    fn only(&self) -> Value {
        let [attachment] = &self.attachments()[..] else {
            panic!("not one attachment: {:?}", self.attachments())
        };
        attachment.clone()
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        eventually(LATER, || {
            let left = self.attachments();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}\n{}", self.daemon.log())) }
        });
    }
}

/// The one line that a failure comes to, somewhere in what the engine says.
#[track_caller]
fn reason(output: &Output) -> String {
    let line = output.stderr.lines().find_map(|line| Some(line.split_once("v6pod: ")?.1.to_owned()));
    line.unwrap_or_else(|| panic!("no reason\n{output}"))
}

#[test]
fn an_address_before_the_program_starts() {
    let site = Site::new();
    for runtime in ["runc", "crun"] {
        site.bundle(LOOK, &["--network", "default", "--iface=v6pod0"], |_| {});
        let output = site.runtime(runtime, &["run", "first"]).run();
        assert!(output.stdout.contains("inet6 2001:db8:1::"), "{output}");
        assert!(output.stdout.contains("default via 2001:db8:1::1"), "{output}");
        site.nothing_is_left();
    }
}

#[test]
fn netns_checklist() {
    let site = Site::new();
    let flags = [
        "--network=default",
        "--iface",
        "eth0",
        "--mtu",
        "1400",
        "--ip",
        "2001:db8:1::200:0:5",
        "--ipfile",
        ".ip",
    ];
    site.bundle("sleep 1000", &flags, |config| {
        config["annotations"] = json!({
            "v6pod.name": "web", "v6pod.aliases": "www,w3", "v6pod.tags": "t=1", "v6pod.mtu": "1300", "other": "x",
        });
    });
    let running = site.runtime("runc", &["run", "listed"]).spawn();
    let attachment = eventually(LATER, || site.attachments().pop().ok_or_else(|| running.log()));
    assert_eq!((&attachment["name"], &attachment["container_id"]), (&json!("web"), &json!("listed")));
    assert_eq!((&attachment["interface"], &attachment["mtu"]), (&json!("eth0"), &json!(1300)));
    assert_eq!((&attachment["aliases"], &attachment["tags"]), (&json!(["www", "w3"]), &json!(["t=1"])));
    assert_eq!(
        (&attachment["address"], &attachment["leased"]),
        (&json!("2001:db8:1::200:0:5"), &json!(false))
    );
    let file = site.host.path(format!("{BUNDLE}/.ip"));
    eventually(LATER, || match std::fs::read_to_string(&file).unwrap_or_default().as_str() {
        "2001:db8:1::200:0:5\n" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    site.host.run(["ping", "-6", "-c5", "-i0.1", "-W2", "2001:db8:1::200:0:5"]);
    // runc is not done with creating it when the hook is.
    eventually(LATER, || {
        let killed = site.runtime("runc", &["kill", "listed", "KILL"]).try_run();
        if killed.success() { Ok(()) } else { Err(killed) }
    });
    site.nothing_is_left();
}

#[test]
fn a_failure_stops_the_container_with_a_reason() {
    let mut site = Site::new();
    let fails = |site: &Site, runtime: &str, flags: &[&str], annotations: &Value, gist: &str| {
        site.bundle("echo started", flags, |config| config["annotations"] = annotations.clone());
        let output = site.runtime(runtime, &["run", "failing"]).try_run().expect_failure();
        assert!(!output.stdout.contains("started"), "{output}");
        let reason = reason(&output);
        assert!(reason.contains(gist) && reason.contains("the container does not start"), "{output}");
    };
    for runtime in ["runc", "crun"] {
        fails(&site, runtime, &[], &json!({ "v6pod.network": "red" }), "there is no network red");
        fails(&site, runtime, &[], &json!({ "v6pod.ports": "80/http" }), "the inbound traffic");
        fails(&site, runtime, &[], &json!({ "v6pod.netwrok": "" }), "there is no annotation");
        fails(
            &site,
            runtime,
            &["--required", "--ipfile=/nonexistent/ip"],
            &json!({}),
            "cannot write the address",
        );
        fails(&site, runtime, &["--required", "--ip=2001:db8:9::5"], &json!({}), "is not within");
    }
    assert!(site.attachments().is_empty());
    site.daemon.stop();
    fails(&site, "runc", &["--required"], &json!({}), "is v6podd running?");
    fails(&site, "crun", &[], &json!({ "v6pod.network": "" }), "is v6podd running?");
    // Nobody asked: the container starts, and is told.
    for runtime in ["runc", "crun"] {
        site.bundle("echo started", &[], |_| {});
        let output = site.runtime(runtime, &["run", "failing"]).run();
        assert!(output.stdout.contains("started"), "{output}");
    }
}

#[test]
fn states_that_are_none() {
    let site = Site::new();
    let call =
        |stage: &[&str], input: &[u8]| site.host.command([HOOK].iter().chain(stage)).input(input).try_run();
    for input in
        [&b""[..], b"{", b"[]", b"{}", b"\0", br#"{"id":"c","pid":"1"}"#, br#"{"id":"c","pid":999999}"#]
    {
        let output = call(&["createRuntime", "--required"], input).expect_failure();
        assert!(output.stderr.starts_with("v6pod: ") && output.stderr.lines().count() == 1, "{output}");
        let output = call(&["createRuntime"], input).expect_success();
        assert!(output.stderr.starts_with("v6pod: ") && output.stderr.lines().count() == 1, "{output}");
        let output = call(&["poststop", "--required"], input).expect_success();
        assert!(output.stderr.lines().count() <= 1, "{output}");
    }
    let huge = vec![b' '; 2 << 20];
    assert!(reason(&call(&["--required"], &huge).expect_failure()).contains("longer than 1 MiB"));
    // The host's own network is nobody's to give an address, and --network host asks for nothing.
    let host = json!({ "id": "c", "pid": 1, "status": "created" }).to_string();
    assert_eq!(call(&[], host.as_bytes()).expect_success().stderr, "");
    assert!(
        reason(&call(&["--required"], host.as_bytes()).expect_failure())
            .contains("no network namespace of its own")
    );
}

#[test]
fn a_namespace_that_is_kept() {
    let site = Site::new();
    site.host.run(["ip", "netns", "add", "keep"]);
    let mut addresses = Vec::new();
    for _ in 0..2 {
        site.bundle(LOOK, &[], |config| {
            config["annotations"] = json!({ "v6pod.name": "kept" });
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
            for namespace in namespaces.iter_mut().filter(|namespace| namespace["type"] == "network") {
                namespace["path"] = "/run/netns/keep".into();
            }
        });
        let output = site.runtime("runc", &["run", "kept"]).run();
        assert!(output.stdout.contains("inet6 2001:db8:1::"), "{output}");
        addresses.push(output.stdout);
        // The container is over and its namespace is not: poststop took the address back.
        assert!(site.attachments().is_empty(), "runc waits for poststop");
        assert!(!site.host.run(["ip", "-n", "keep", "link"]).stdout.contains("v6pod0"));
        // One rule stays, which leads nowhere; the next attachment does not add another.
        let rules = site.host.run(["ip", "-6", "-n", "keep", "rule"]);
        assert_eq!(rules.stdout.matches("30262:").count(), 1, "{rules}");
        assert_eq!(site.host.try_run(["ip", "-6", "-n", "keep", "route", "show", "table", "118"]).stdout, "");
    }
    let first =
        |text: &str| text.split_whitespace().skip_while(|word| *word != "inet6").nth(1).map(str::to_owned);
    assert_eq!(first(&addresses[0]), first(&addresses[1]));
}

const PACKAGED: &str = include_str!("../../packaging/hooks.d/v6pod.json");
const ALWAYS: &str = include_str!("../../packaging/hooks.d/v6pod-always.json.example");
const ASK: &str = "--annotation=v6pod.network=default";

/// What a container of alice's saw first.
#[track_caller]
fn first_look(alice: &User, options: &[&str]) -> String {
    let run = ["run", "--rm", "--name", "web"].iter().chain(options);
    alice.podman(run.chain(&["busybox", "sh", "-c", LOOK])).stdout
}

#[test]
fn rootless_podman_and_an_annotation() {
    let site = Site::new();
    let alice = site.host.user("alice");
    site.install(PACKAGED);
    assert!(!first_look(&alice, &[]).contains("2001:db8"), "nobody asked");
    for network in [&["--network=slirp4netns"][..], &["--network=none"], &["--userns=keep-id"]] {
        let options: Vec<&str> = network.iter().chain(&[ASK]).copied().collect();
        let seen = first_look(&alice, &options);
        assert!(
            seen.contains("inet6 2001:db8:1::") && seen.contains("default via 2001:db8:1::1"),
            "{network:?} {seen}"
        );
        site.nothing_is_left();
    }
    let blue = ["--annotation=v6pod.network=blue", "--annotation=v6pod.name=sky", "-d"];
    alice.podman(["run"].iter().chain(&blue).chain(&["--name=web", "busybox", "sleep", "1000"]));
    let attachment = site.only();
    assert_eq!((&attachment["network"], &attachment["name"]), (&json!("blue"), &json!("sky")));
    assert_eq!(attachment["uid"], alice.uid());
    alice.podman(["restart", "-t", "0", "web"]);
    assert_eq!(site.only()["address"], attachment["address"]);
    alice.podman(["rm", "-f", "-t", "0", "web"]);
    site.nothing_is_left();
    // podman's own name, from its store, also of a container that is not kept.
    for rm in [&["--rm"][..], &[]] {
        let run = ["run", "-d", "--name=db", ASK].iter().chain(rm);
        alice.podman(run.chain(&["busybox", "sleep", "1000"]));
        assert_eq!(site.only()["name"], "db");
        alice.podman(["rm", "-f", "-t", "0", "db"]);
        site.nothing_is_left();
    }
}

#[test]
fn rootless_podman_and_a_failure() {
    let mut site = Site::new();
    let alice = site.host.user("alice");
    site.install(PACKAGED);
    let output = alice.try_podman(["run", "--annotation=v6pod.network=red", "busybox", "echo", "started"]);
    assert!(!output.stdout.contains("started"), "{output}");
    assert!(reason(&output.expect_failure()).contains("there is no network red"));
    site.daemon.stop();
    let output = alice.try_podman(["run", ASK, "busybox", "echo", "started"]).expect_failure();
    assert!(reason(&output).contains("is v6podd running?"), "{output}");
    // podman shows of crun only its log, which has no hook's words; crun can be told where to put them.
    let file = format!("/home/{}/hook", alice.name());
    let words = format!("--annotation=run.oci.hooks.stderr={file}");
    let run = ["--runtime=crun", "run", ASK, &words, "busybox", "echo", "started"];
    let output = alice.try_podman(run).expect_failure();
    assert!(!output.stdout.contains("started") && output.stderr.contains("v6pod-hook"), "{output}");
    let told = alice.run(["cat", &file]);
    assert!(told.stdout.starts_with("v6pod: ") && told.stdout.contains("is v6podd running?"), "{told}");
    site.install(ALWAYS);
    let output = alice.podman(["run", "--rm", "busybox", "echo", "started"]);
    assert!(output.stdout.contains("started"), "{output}");
    site.daemon.start();
    site.nothing_is_left();
}

#[test]
fn rootless_podman_always() {
    let site = Site::new();
    let alice = site.host.user("alice");
    site.install(ALWAYS);
    let seen = first_look(&alice, &[]);
    assert!(seen.contains("inet6 2001:db8:1::"), "{seen}");
    let host = alice.podman(["run", "--rm", "--network=host", "busybox", "true"]);
    assert_eq!(host.stderr, "");
    // One that joins another's namespace has that one's address, and takes nothing along when it goes.
    alice.podman(["run", "-d", "--name=web", "busybox", "sleep", "1000"]);
    let attachment = site.only();
    let run = ["run", "--rm", "--network=container:web", "busybox", "sh", "-c", LOOK];
    assert!(alice.podman(run).stdout.contains(attachment["address"].as_str().expect("a text")));
    assert_eq!(site.only()["id"], attachment["id"]);
    // conmon dies: nobody runs poststop, and the address ends with the namespace.
    site.host.run(["pkill", "-9", "-u", alice.name(), "conmon"]);
    assert_eq!(site.only()["id"], attachment["id"], "the container lives");
    alice.podman(["rm", "-f", "-t", "0", "web"]);
    site.nothing_is_left();
}

#[test]
fn beside_the_wrapper() {
    let site = Site::on(Host::new("one", &["alice"]));
    let alice = site.host.user("alice");
    site.install(ALWAYS);
    alice.podman(["run", "-d", "--name=web", ASK, "busybox", "sleep", "1000"]);
    let attachment = site.only();
    assert_eq!((&attachment["leased"], &attachment["name"]), (&json!(true), &json!("web")));
    let late = ["run", "--rm", "--annotation=v6pod.network=blue", "busybox", "true"];
    let output = alice.try_podman(late).expect_failure();
    assert!(reason(&output).contains("the network comes too late"), "{output}");
    alice.podman(["rm", "-f", "-t", "0", "web"]);
    site.nothing_is_left();
}
