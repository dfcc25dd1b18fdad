//! The programs of the RPM do the main job with no system call newer than Linux 3.10 and without the ioctls that tell
//! whose a namespace is: what runs on CentOS 7, as far as its kernel is concerned. Only podman itself has all.

use std::fs;

use v6pod_integration::{Daemon, Host, LATER, Net, OLD_KERNEL, curl, eventually};

use crate::made::{folder, package};

const LAUNCHER: &str = "/usr/local/bin/slirp4netns-on-an-old-kernel";
const CLIENT: &str = "/etc/v6pod/client.toml";
const PROGRAMS: [&str; 3] = ["/usr/sbin/v6podd", "/usr/bin/v6pod", "/usr/libexec/v6pod/slirp4netns"];

/// A host whose programs are the package's: the builds of the tests make room for them.
#[track_caller]
fn host() -> Host {
    let host = Host::new("one", &["alice"]);
    PROGRAMS.iter().for_each(|program| _ = host.run(["umount", program]));
    let rpm = fs::read(package(&folder(), "v6pod-", ".rpm")).expect("it can be read");
    host.write("/tmp/v6pod.rpm", rpm);
    // Debian's rpm would have its database in root's home, which is the machine's.
    let rpm = |arguments: &[&str]| {
        host.run(["rpm", "--dbpath", "/var/lib/rpm", "--nodeps"].iter().chain(arguments))
    };
    // The package brings its own.
    let patient = host.run(["cat", CLIENT]).stdout;
    host.run(["rm", CLIENT]);
    rpm(&["-i", "--replacefiles", "/tmp/v6pod.rpm"]);
    assert_eq!(rpm(&["-V", "v6pod"]).text(), "");
    host.write(CLIENT, patient);
    host.write(LAUNCHER, format!("#!/bin/sh\nexec {OLD_KERNEL} /usr/libexec/v6pod/slirp4netns \"$@\"\n"));
    host.run(["chmod", "755", LAUNCHER]);
    let wrapper = format!("s|^network_cmd_path.*|network_cmd_path = \"{LAUNCHER}\"|");
    host.run(["sed", "-i", &wrapper, "/etc/containers/containers.conf"]);
    host
}

/// Whether a process runs the package's program, with the filters: without them the test would show nothing.
#[track_caller]
fn is_on_an_old_kernel(host: &Host, process: &str, filters: usize) {
    let pid = host.run(["pgrep", "-n", "-x", process]).text().to_owned();
    let status = host.run(["cat", &format!("/proc/{pid}/status")]);
    let count = status.stdout.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
    assert!(
        count.is_some_and(|count| count.trim().parse().is_ok_and(|count: usize| count >= filters)),
        "{status}"
    );
}

#[test]
fn the_packaged_programs_do_the_main_job() {
    let net = Net::new();
    let host = host();
    let link = net.join(&host);
    let alice = host.user("alice");
    let mut daemon = Daemon::new(&host, &format!("prefix = \"{}\"\n", link.prefix));
    daemon.on_an_old_kernel().start();
    is_on_an_old_kernel(&host, "v6podd", 3);
    let run = ["run", "-d", "--stop-timeout=0", "--name", "web", "busybox", "httpd", "-f", "-p", "[::]:8080"];
    alice.podman(run.iter().chain(&["-h", "/var/www"]));
    is_on_an_old_kernel(&host, "slirp4netns", 3);
    let server = format!("@{}", link.gateway);
    let address = eventually(LATER, || {
        let answer = host.run(["dig", "+short", "+tries=1", "+time=2", &server, "web.v6pod", "AAAA"]);
        let address = answer.text().to_owned();
        if address.is_empty() { Err(format!("{answer}\n{}", daemon.log())) } else { Ok(address) }
    });
    let page = net.router().run(curl(&format!("http://[{address}]:8080/")));
    assert_eq!(page.text(), "hello from a container");
    let list = || host.run([OLD_KERNEL, "v6pod", "list", "--json"]).json();
    assert_eq!(list()["attachments"][0]["address"], address);
    daemon.kill9();
    daemon.start();
    host.run(["ping", "-6", "-c1", "-w10", &address]);
    alice.podman(["stop", "-t", "0", "web"]);
    eventually(LATER, || match list()["attachments"].as_array() {
        Some(left) if !left.is_empty() => Err(format!("{left:?}\n{}", daemon.log())),
        _ => Ok(()),
    });
}
