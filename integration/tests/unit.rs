//! The daemon as systemd starts it, with all that the unit takes from it: a real systemd, PID 1 of its own PID
//! namespace in a test host, with no other units than this one.

use serde_json::Value;
use v6pod_integration::{Background, Command, Host, LATER, eventually};

const UNIT: &str = include_str!("../../packaging/v6podd.service");
/// What the unit is ordered after, empty; and nothing that would set up a machine. A cgroup of its own, and no
/// way to the settings of the kernel that are not the network's.
const BOOT: &str = r#"
units=/run/test-units
mkdir -p "$units"
for target in basic sysinit shutdown network multi-user; do
    printf '[Unit]\nDefaultDependencies=no\n' >"$units/$target.target"
done
printf '[Unit]\nDefaultDependencies=no\nWants=v6podd.service\n' >"$units/test.target"
group=$(mktemp -d /sys/fs/cgroup/v6pod-test-XXXXXX)
echo "$group" >/run/test-group
echo $$ >"$group/cgroup.procs"
exec unshare --cgroup --mount --pid --fork --kill-child --mount-proc bash -euc '
    umount /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    for folder in fs kernel vm; do
        mount --bind "/proc/sys/$folder" "/proc/sys/$folder"
        mount -o remount,bind,ro "/proc/sys/$folder"
    done
    export container=v6pod SYSTEMD_UNIT_PATH=/run/test-units
    exec /lib/systemd/systemd --system --unit=test.target'
"#;

/// A host with systemd in it, and the unit running.
struct Site {
    systemd: Background,
    pid: String,
    host: Host,
}

impl Site {
    #[track_caller]
    fn new(configuration: &str) -> Self {
        let host = Host::builder("one").user("alice").without_wrapper().build();
        host.write("/etc/v6pod/v6podd.toml", configuration);
        host.write("/run/test-units/v6podd.service", UNIT);
        let systemd = host.spawn(["bash", "-euc", BOOT]);
        let pid = eventually(LATER, || {
            // unshare forks, and what it forks is the first of the namespace.
            let found = host.try_run(["pgrep", "-x", "systemd"]);
            found.text().lines().next().map(str::to_owned).ok_or_else(|| systemd.log())
        });
        let site = Self { systemd, pid, host };
        site.is_active();
        site
    }

    /// A command of root's among systemd's processes.
    fn beside(&self, arguments: &[&str]) -> Command {
        let enter = ["nsenter", "--pid", "--mount", "--cgroup", "--target", &self.pid, "--"];
        self.host.command(enter.iter().chain(arguments))
    }

    /// A command of alice's among systemd's processes.
    fn alices(&self, script: &str) -> Command {
        let uid = format!("{}", self.host.user("alice").uid());
        self.beside(&["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups", "bash", "-euc", script])
    }

    #[track_caller]
    fn is_active(&self) {
        eventually(LATER, || {
            let output = self.beside(&["v6pod", "status"]).try_run();
            let journal = || self.beside(&["systemctl", "status", "--no-pager", "v6podd"]).try_run();
            if output.success() {
                Ok(())
            } else {
                Err(format!("{output}{}{}", journal(), self.systemd.log()))
            }
        });
    }

    /// What proc_pid_status(5) says of the daemon.
    fn status(&self, key: &str) -> String {
        let pid = self.beside(&["systemctl", "show", "--property=MainPID", "--value", "v6podd"]).run();
        let status = self.beside(&["cat", &format!("/proc/{}/status", pid.text())]).run();
        let line = status.stdout.lines().find_map(|line| line.strip_prefix(&format!("{key}:")));
        line.unwrap_or_else(|| panic!("no {key}\n{status}")).trim().to_owned()
    }

    fn list(&self) -> Vec<Value> {
        let list = self.beside(&["v6pod", "list", "--json"]).run().json();
        list["attachments"].as_array().cloned().unwrap_or_default()
    }
}

/// The machine keeps a cgroup for ever, but not before the last of its processes is gone.
const CLEAN_UP: &str = "for i in $(seq 100); do
    find \"$(cat /run/test-group)\" -depth -type d -delete 2>/dev/null && exit; sleep 0.1; done";

impl Drop for Site {
    fn drop(&mut self) {
        self.systemd.kill9();
        let _ = self.host.try_run(["bash", "-c", CLEAN_UP]);
    }
}

#[test]
fn the_unit_takes_nothing_that_is_needed() {
    for proof in ["ioctl", "probe"] {
        let prefix = "prefix = \"2001:db8:1::/80\"\n";
        let site = Site::new(&format!("{prefix}namespace_proof = \"{proof}\"\n"));
        // It is as bounded as it says.
        assert_eq!((site.status("Seccomp"), site.status("NoNewPrivs")), ("2".to_owned(), "1".to_owned()));
        assert_eq!(site.status("CapEff"), site.status("CapBnd"));
        let written = site.beside(&["stat", "-c", "%a", "/run/v6pod", "/var/lib/v6pod"]).run();
        assert_eq!(written.text(), "755\n700", "{written}");

        let holder = "unshare --user --map-root-user --net sleep infinity & echo $!; wait";
        let holder = site.alices(holder).spawn();
        let pid = eventually(LATER, || holder.log().trim().parse::<u32>());
        let client = format!("echo {pid} web | /usr/libexec/v6pod/v6pod-test-client attach 1 hold");
        let client = site.alices(&client).spawn();
        let address = eventually(LATER, || {
            let first = site.list().into_iter().next().ok_or_else(|| client.log())?;
            first["address"].as_str().map(str::to_owned).ok_or_else(|| first.to_string())
        });
        let whole = |site: &Site| {
            site.host.run(["ping", "-6", "-c1", "-W2", &address]);
            site.beside(&["v6pod", "check", "web"]).run();
            let found = site.host.run(["dig", "+short", "@2001:db8:1::1", "web.v6pod", "AAAA"]);
            assert_eq!(found.text(), address, "{found}");
        };
        whole(&site);
        // systemd starts it again after whatever end, and it finds the lease in its holder's /proc.
        for how in ["restart", "kill --signal=KILL"] {
            let before = site.status("Pid");
            site.beside(&["bash", "-euc", &format!("systemctl {how} v6podd")]).run();
            eventually(LATER, || match site.beside(&["v6pod", "status"]).try_run() {
                status if status.success() && site.status("Pid") != before => Ok(()),
                status => Err(status),
            });
            eventually(LATER, || if site.list().len() == 1 { Ok(()) } else { Err("it was lost") });
            whole(&site);
        }
        site.beside(&["pkill", "-9", "v6pod-test-clie"]).run();
        eventually(LATER, || if site.list().is_empty() { Ok(()) } else { Err("it is still attached") });
        let journal = site.beside(&["systemctl", "show", "--property=NRestarts", "--value", "v6podd"]).run();
        assert_eq!(journal.text(), "1", "only the one that it was killed for");
    }
}
