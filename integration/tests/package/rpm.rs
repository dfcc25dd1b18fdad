//! The RPM, with the real rpm, in a root file system.

use std::path::Path;

use v6pod_integration::Output;

use crate::{
    made::{earlier, folder, package},
    root::{ROOT, Root},
};

const UNITS: &str = "v6podd.socket v6podd.service";

/// A root file system with rpm's own database, and programs that record what the scripts call.
struct Site(Root);

impl Site {
    #[track_caller]
    fn new() -> Self {
        let root = Root::new();
        for program in ["/usr/bin/systemctl", "/usr/bin/systemd-tmpfiles"] {
            root.record(program);
        }
        Self(root)
    }

    /// rpm for these packages. What a CentOS has and this has not is looked at in `contents`.
    fn rpm(&self, arguments: &[&str], packages: &[&Path]) -> Output {
        let names: Vec<String> =
            packages.iter().map(|path| format!("{ROOT}/root/{}", self.0.receive(path))).collect();
        // Debian's rpm would have its database in somebody's home.
        let start =
            ["rpm", "--root", ROOT, "--dbpath", "/var/lib/rpm"].into_iter().chain(arguments.iter().copied());
        self.0.host.try_run(start.chain(names.iter().map(String::as_str)))
    }

    #[track_caller]
    fn install(&self, folder: &Path) {
        let packages = [package(folder, "v6pod-", ".rpm"), package(folder, "v6pod-setuid-", ".rpm")];
        self.rpm(&["-U", "--nodeps"], &[&packages[0], &packages[1]]).expect_success();
    }

    #[track_caller]
    fn is_whole(&self) {
        let verified = self.rpm(&["-V", "--nodeps", "v6pod", "v6pod-setuid"], &[]).expect_success();
        assert_eq!(verified.text(), "", "{verified}");
    }

    fn installed(&self) -> String {
        let query = ["-qa", "--qf", "%{NAME}-%{VERSION}-%{RELEASE}\n"];
        let mut lines: Vec<String> = self.rpm(&query, &[]).stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join(" ")
    }
}

#[test]
fn what_is_installed_is_what_the_list_says_and_programs_run() {
    let site = Site::new();
    site.install(&folder());
    site.is_whole();
    let stat =
        ["stat", "-c", "%a %U %G", "/usr/libexec/v6pod/v6pod-connect", "/usr/sbin/v6podd", "/var/lib/v6pod"];
    let modes = site.0.sh(&stat.map(|word| format!("'{word}'")).join(" "));
    assert_eq!(modes.text(), "4755 root root\n755 root root\n700 root root");
    let version = site.0.sh("v6pod --version; v6podd --check-config");
    assert!(version.stdout.starts_with(&format!("v6pod {}\n", env!("CARGO_PKG_VERSION"))), "{version}");
    let plugins =
        site.0.sh("/usr/libexec/netavark/v6pod info; CNI_COMMAND=VERSION /usr/libexec/cni/v6pod </dev/null");
    assert!(
        plugins.stdout.contains("api_version") && plugins.stdout.contains("supportedVersions"),
        "{plugins}"
    );
    let user = site.0.alices("/usr/libexec/v6pod/v6pod-connect </dev/null || echo $?").run();
    // Its channel is not one: but it was root before it looked, which 4 would deny.
    assert_eq!(user.text(), "3", "{user}");
    // podman finds the hook, and nothing else that would concern it is written by an installation.
    let found = site.0.sh("find /etc /usr/share/containers -name '*v6pod*' | sort");
    let expected = ["/etc/v6pod", "/etc/v6pod/v6podd.toml", "/usr/share/containers/oci/hooks.d/v6pod.json"];
    assert_eq!(found.stdout.lines().collect::<Vec<_>>(), expected);
    // A changed file is noticed.
    site.0.sh("chmod 755 /usr/libexec/v6pod/v6pod-connect");
    let verified = site.rpm(&["-V", "--nodeps", "v6pod-setuid"], &[]);
    assert!(verified.stdout.contains("/usr/libexec/v6pod/v6pod-connect"), "{verified}");
}

#[test]
fn each_step_calls_what_it_has_to() {
    let site = Site::new();
    let tmpfiles = "systemd-tmpfiles --create /usr/lib/tmpfiles.d/v6pod.conf";
    site.install(earlier());
    assert_eq!(site.0.recorded(), ["systemctl preset v6podd.service v6podd.socket", tmpfiles]);

    // An administrator's configuration, and a daemon that has run.
    site.0.sh("echo 'prefix = \"2001:db8::/80\"' >/etc/v6pod/v6podd.toml; echo x >/var/lib/v6pod/file");
    site.install(&folder());
    // The daemon alone, after all files are there: neither stopped nor disabled, and the socket stays open.
    let restart = ["systemctl daemon-reload", "systemctl try-restart v6podd.service"];
    assert_eq!(site.0.recorded(), [&[tmpfiles], &restart[..]].concat());
    assert_eq!(site.installed(), "v6pod-0.1.0-1 v6pod-setuid-0.1.0-1");
    assert_eq!(site.0.sh("cat /etc/v6pod/v6podd.toml").text(), "prefix = \"2001:db8::/80\"");

    let older = package(earlier(), "v6pod-", ".rpm");
    let refused = site.rpm(&["-U", "--nodeps"], &[&older]).expect_failure();
    assert!(
        refused.stderr.contains("(which is newer than v6pod-0.1.0-0.x86_64) is already installed"),
        "{refused}"
    );
    assert_eq!(
        (site.installed().as_str(), site.0.recorded().len()),
        ("v6pod-0.1.0-1 v6pod-setuid-0.1.0-1", 0)
    );

    // From here on it records as well.
    site.0.record("/usr/bin/v6pod");
    site.rpm(&["-e", "v6pod-setuid", "v6pod"], &[]).expect_success();
    let [disable, stop] = ["--no-reload disable", "stop"].map(|verb| format!("systemctl {verb} {UNITS}"));
    let undo = ["podman", "hook", "docker"].map(|way| format!("v6pod setup --undo {way}"));
    let mut expected = vec![disable, stop];
    expected.extend(undo);
    expected.extend(["v6pod cleanup --all", "systemctl daemon-reload"].map(str::to_owned));
    assert_eq!(site.0.recorded(), expected);
    assert_eq!(site.installed(), "");
    let left = site.0.sh("find / -xdev -name '*v6pod*' -not -path '/root/*' | sort");
    let kept = ["/etc/v6pod", "/etc/v6pod/v6podd.toml.rpmsave", "/var/lib/v6pod"];
    assert_eq!(left.stdout.lines().collect::<Vec<_>>(), kept, "{left}");
}

#[test]
fn a_daemon_that_never_ran_leaves_nothing_to_clean_up() {
    let site = Site::new();
    site.install(&folder());
    site.0.sh("v6pod setup podman; test -e /etc/containers/containers.conf.d/v6pod.conf");
    site.rpm(&["-e", "v6pod-setuid", "v6pod"], &[]).expect_success();
    assert!(!site.0.recorded().iter().any(|line| line.contains("cleanup")));
    // podman would be told to start what is not there any more.
    let left = site.0.sh("find / -xdev -name '*v6pod*' -not -path '/root/*' | sort");
    assert_eq!(left.text(), "", "{left}");
}
