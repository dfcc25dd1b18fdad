//! Made-up process trees.

use std::os::unix::fs::symlink;

use super::*;
use crate::slirp4netns::options;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A root folder with podman (pid 50) as our parent, and conmon (pid 60) as the parent of pid 70.
struct Tree {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        tree.write("proc/self/status", "Name:\tslirp4netns\nPPid:\t50\nUid:\t0\t0\t0\t0\n");
        tree.write(
            "proc/self/uid_map",
            "         0       1001          1\n         1     100000      65536\n",
        );
        tree.write("proc/50/cmdline", "podman\0run\0x\0");
        tree.write("proc/70/status", "Name:\tsleep\nPPid:\t60\n");
        tree.write(
            "etc/passwd",
            &format!("root:x:0:0::/root:/bin/sh\nann:x:1001:1001::{}:/bin/sh\n", tree.at("home")),
        );
        tree
    }

    fn at(&self, path: &str) -> String {
        self.folder.path().join(path).to_str().unwrap().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn log(&self, target: &str) {
        fs::create_dir_all(self.folder.path().join("proc/self/fd")).unwrap();
        symlink(target, self.folder.path().join("proc/self/fd/1")).unwrap();
    }

    fn conmon(&self, arguments: &str) {
        self.write("proc/60/cmdline", &arguments.replace(' ', "\0"));
    }

    /// Puts a container into the store under `graphroot`.
    fn store(&self, graphroot: &str, name: &str) {
        let list = format!(r#"[{{"id":"x"}},{{"id":"{ID}","names":["{name}"],"layer":"l"}}]"#);
        self.write(&format!("{graphroot}/overlay-containers/containers.json"), &list);
    }

    fn find(&self, line: &str) -> Who {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let environment = |name: &str| {
            self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        let world = World { root: self.folder.path(), environment: &environment };
        find(world, &options::parse(&arguments, options::Order::Permuted).unwrap())
    }
}

fn who(id: &str, name: &str) -> Who {
    Who::Container { id: id.to_owned(), name: name.to_owned() }
}

const PATH: &str = "--netns-type=path /n tap0";

#[test]
fn the_log_tells_the_id() {
    let tree = Tree::new();
    tree.log(&format!("/run/user/1001/libpod/tmp/slirp4netns-{ID}.log (deleted)"));
    assert_eq!(tree.find(PATH), who(ID, ""));
    tree.store("home/.local/share/containers/storage", "web");
    assert_eq!(tree.find(PATH), who(ID, "web"));
}

#[test]
fn a_renamed_container_has_its_new_name() {
    let tree = Tree::new();
    tree.log(&format!("/t/slirp4netns-{ID}.log"));
    for name in ["web", "web2"] {
        tree.store("home/.local/share/containers/storage", name);
        assert_eq!(tree.find(PATH), who(ID, name));
    }
}

#[test]
fn the_control_socket_tells_the_id() {
    let tree = Tree::new();
    tree.log("/dev/null");
    assert_eq!(tree.find(&format!("-a /t/{ID}.net {PATH}")), who(ID, ""));
    assert_eq!(tree.find(&format!("-a /t/{ID}.sock {PATH}")), who("", ""));
    assert_eq!(tree.find(&format!("-a /t/x{ID}.net {PATH}")), who("", ""));
}

#[test]
fn conmon_tells_id_and_name() {
    let tree = Tree::new();
    tree.conmon(&format!("/usr/bin/conmon --api-version 1 -c {ID} -u u -b /b -n web --exit-command-arg -n"));
    assert_eq!(tree.find("70 tap0"), who(ID, "web"));
    assert_eq!(tree.find(PATH), who("", ""));
    // The store is younger.
    tree.store("home/.local/share/containers/storage", "renamed");
    assert_eq!(tree.find("70 tap0"), who(ID, "renamed"));
    // conmon before 2.0.0 has no -n.
    let tree = Tree::new();
    tree.conmon(&format!("conmon -c {ID} -u u"));
    assert_eq!(tree.find("70 tap0"), who(ID, ""));
}

#[test]
fn conmon_of_another_container_is_not_asked_for_the_name() {
    let tree = Tree::new();
    tree.log(&format!("/t/slirp4netns-{ID}.log"));
    tree.conmon("conmon -c other -n other");
    assert_eq!(tree.find("70 tap0"), who(ID, ""));
}

#[test]
fn a_patched_podman_may_tell_the_id_when_nothing_else_does() {
    let hinted = |hint: &str| {
        let mut tree = Tree::new();
        tree.variables = vec![("v6pod_id", hint.to_owned()), ("v6pod_user", "0".to_owned())];
        tree
    };
    let tree = hinted(ID);
    assert_eq!(tree.find(PATH), who(ID, ""));
    tree.store("home/.local/share/containers/storage", "web");
    assert_eq!(tree.find(PATH), who(ID, "web"));
    assert_eq!(hinted("web-1").find(PATH), who("web-1", ""));
    for wrong in ["", "../x", "a b", "-x", "a\n", &"x".repeat(129)] {
        assert_eq!(hinted(wrong).find(PATH), who("", ""), "{wrong:?}");
    }
    // Every trace counts for more.
    let tree = hinted("hint");
    tree.log(&format!("/t/slirp4netns-{ID}.log"));
    assert_eq!(tree.find(PATH), who(ID, ""));
    let tree = hinted("hint");
    assert_eq!(tree.find(&format!("-a /t/{ID}.net {PATH}")), who(ID, ""));
    tree.conmon(&format!("conmon -c {ID} -n web"));
    assert_eq!(tree.find("70 tap0"), who(ID, "web"));
    let tree = hinted(ID);
    tree.log("/t/slirp4netns-rootless-netns.log");
    assert_eq!(tree.find(PATH), Who::Shared);
}

#[test]
fn rootlesskit_has_neither() {
    let tree = Tree::new();
    tree.conmon("rootlesskit -c x -n y");
    assert_eq!(tree.find("70 tap0"), who("", ""));
    tree.conmon("conmon -c ../x -n y");
    assert_eq!(tree.find("70 tap0"), who("", ""));
    assert_eq!(tree.find("71 tap0"), who("", ""));
}

#[test]
fn what_is_no_container_may_be_given_a_name() {
    let mut tree = Tree::new();
    tree.variables = vec![("V6POD_NAME", "docker".to_owned())];
    assert_eq!(tree.find("70 tap0"), who("", "docker"));
    // Inherited by podman, it is not meant for the container.
    tree.log(&format!("/t/slirp4netns-{ID}.log"));
    assert_eq!(tree.find(PATH), who(ID, ""));
}

#[test]
fn shared_namespaces_are_left_alone() {
    for name in ["rootless-netns", "rootless-cni"] {
        let tree = Tree::new();
        tree.log(&format!("/t/slirp4netns-{name}.log (deleted)"));
        assert_eq!(tree.find(PATH), Who::Shared);
    }
    let tree = Tree::new();
    tree.log(&format!("/t/slirp4netns-{ID}.log"));
    tree.store("home/.local/share/containers/storage", "rootless-cni-infra");
    assert_eq!(tree.find(PATH), Who::Shared);
    // Somebody's own log is nothing special.
    let tree = Tree::new();
    tree.log("/t/slirp4netns-mine.log");
    assert_eq!(tree.find(PATH), who("", ""));
}

#[test]
fn podman_is_asked_for_its_root() {
    for arguments in
        ["podman --root DIR run x", "podman --root=DIR --rootless x", "/bin/podman --log-level x --root DIR"]
    {
        let tree = Tree::new();
        tree.log(&format!("/t/slirp4netns-{ID}.log"));
        tree.store("home/.local/share/containers/storage", "wrong");
        tree.store("elsewhere", "right");
        tree.write("proc/50/cmdline", &arguments.replace("DIR", &tree.at("elsewhere")).replace(' ', "\0"));
        assert_eq!(tree.find(PATH), who(ID, "right"), "{arguments}");
    }
}

#[test]
fn home_comes_from_the_environment_first() {
    let mut tree = Tree::new();
    tree.log(&format!("/t/slirp4netns-{ID}.log"));
    tree.store("other/.local/share/containers/storage", "web");
    assert_eq!(tree.find(PATH), who(ID, ""));
    tree.variables.push(("HOME", tree.at("other")));
    assert_eq!(tree.find(PATH), who(ID, "web"));
    tree.variables = vec![("HOME", "relative".to_owned())];
    assert_eq!(tree.find(PATH), who(ID, ""));
}

#[test]
fn uids_are_translated() {
    let map = "         0       1001          1\n         1     100000      65536\n";
    assert_eq!(outer_uid(map, 0), Some(1001));
    assert_eq!(outer_uid(map, 1), Some(100_000));
    assert_eq!(outer_uid(map, 65536), Some(165_535));
    assert_eq!(outer_uid(map, 65537), None);
    assert_eq!(outer_uid("0 4294967295 2", 1), None);
    assert_eq!(outer_uid("x", 0), None);
}

#[test]
fn nothing_at_all_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let arguments: Vec<OsString> = ["7", "tap0"].map(OsString::from).into();
    let world = World { root: folder.path(), environment: &|_| None };
    assert_eq!(find(world, &options::parse(&arguments, options::Order::Permuted).unwrap()), who("", ""));
}
