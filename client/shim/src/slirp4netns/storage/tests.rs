//! Made-up container stores.

use super::*;

const ID: &str = "4711";

struct Store {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
    uid: u32,
}

impl Store {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new(), uid: 1001 }
    }

    fn at(&self, path: &str) -> String {
        self.folder.path().join(path).to_str().unwrap().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn list(&self, path: &str, name: &str) {
        self.write(path, &format!(r#"[{{"id":"{ID}","names":["{name}"]}}]"#));
    }

    /// A configuration file with this `[storage]` section, in which DIR is this folder.
    fn conf(&self, path: &str, section: &str) {
        let section = section.replace("DIR", self.folder.path().to_str().unwrap());
        self.write(
            path,
            &format!("# c\n[storage]\ndriver = \"overlay\"\n{section}\n[storage.options]\nx = [\n]\n"),
        );
    }

    fn name(&self) -> Option<String> {
        let user =
            User { uid: self.uid, home: Some(self.folder.path().join("home")), name: Some("ann".into()) };
        let environment = |name: &str| {
            self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        name(World { root: self.folder.path(), environment: &environment }, &user, None, ID)
    }
}

const DEFAULT: &str = "home/.local/share/containers/storage/overlay-containers";

#[test]
fn both_lists_of_every_driver() {
    for list in
        ["overlay-containers/containers", "vfs-containers/containers", "btrfs-containers/volatile-containers"]
    {
        let store = Store::new();
        store.write(&format!("{DEFAULT}/containers.json"), "[]");
        store.list(&format!("home/.local/share/containers/storage/{list}.json"), "web");
        assert_eq!(store.name().as_deref(), Some("web"), "{list}");
    }
}

#[test]
fn what_an_entry_may_look_like() {
    let long = "y".repeat(200_000);
    for (list, name) in [
        (r#"[{"id":"4711","names":["a","b"]}]"#, Some("a")),
        (
            r#"[{"id":"1","names":["x"]},{"id":"4711","names":["a"],"flags":{"k":[1,2,{}]}},{"id":"2"}]"#,
            Some("a"),
        ),
        (r#"[{"id":"4711","names":null,"metadata":"{\"image-name\":\"i\",\"name\":\"m\"}"}]"#, Some("m")),
        (r#"[{"id":"4711","names":[],"metadata":"{\"name\":\"m\"}"}]"#, Some("m")),
        (r#"[{"id":"4711","names":[""],"metadata":"{}"}]"#, None),
        (r#"[{"id":"4711","metadata":"no JSON"}]"#, None),
        (r#"[{"id":"4711"}]"#, None),
        (r#"[{"id":"47110","names":["a"]}]"#, None),
        (r#"[{"id":"4711","names":["a"]}"#, None),
        ("null", None),
        ("", None),
        (&format!(r#"[{{"id":"x","junk":"{long}"}},{{"id":"4711","names":["a"]}}]"#), Some("a")),
    ] {
        let store = Store::new();
        store.write(&format!("{DEFAULT}/containers.json"), list);
        assert_eq!(store.name().as_deref(), name, "{}", &list[..list.len().min(100)]);
    }
}

#[test]
fn the_users_own_configuration() {
    for section in [
        "graphroot = \"DIR/g\"",
        "graphroot = 'DIR/g' # mine",
        "rootless_storage_path = \"DIR/g\"",
        "graphroot = \"$HOME/../g\"",
    ] {
        let mut store = Store::new();
        fs::create_dir_all(store.at("home")).unwrap();
        store.list("g/overlay-containers/containers.json", "web");
        store.conf("home/.config/containers/storage.conf", section);
        assert_eq!(store.name().as_deref(), Some("web"), "{section}");
        store.variables.push(("XDG_CONFIG_HOME", store.at("config")));
        assert_eq!(store.name(), None);
        store.conf("config/containers/storage.conf", section);
        assert_eq!(store.name().as_deref(), Some("web"));
        store.variables.push(("CONTAINERS_STORAGE_CONF", store.at("my.conf")));
        assert_eq!(store.name(), None);
        store.conf("my.conf", section);
        assert_eq!(store.name().as_deref(), Some("web"));
    }
}

#[test]
fn the_systems_configuration() {
    for (uid, section, name) in [
        (1001, "rootless_storage_path = \"DIR/s/$USER/$UID\"", Some("web")),
        (1001, "rootless_storage_path = \"DIR/s/${USER}/${UID}$NONE\"", Some("web")),
        (1001, "graphroot = \"DIR/s/ann/1001\"", None),
        (0, "graphroot = \"DIR/s/ann/1001\"", Some("web")),
        (1001, "rootless_storage_path = \"s/ann/1001\"", None),
    ] {
        for folder in ["etc", "usr/share"] {
            let mut store = Store::new();
            store.uid = uid;
            store.list("s/ann/1001/overlay-containers/containers.json", "web");
            store.conf(&format!("{folder}/containers/storage.conf"), section);
            assert_eq!(store.name().as_deref(), name, "{section}");
        }
    }
}

#[test]
fn defaults() {
    let mut store = Store::new();
    store.list("data/containers/storage/overlay-containers/containers.json", "web");
    store.list("var/lib/containers/storage/overlay-containers/containers.json", "roots");
    assert_eq!(store.name(), None);
    store.variables.push(("XDG_DATA_HOME", store.at("data")));
    assert_eq!(store.name().as_deref(), Some("web"));
    store.variables.clear();
    store.uid = 0;
    assert_eq!(store.name().as_deref(), Some("roots"));
}
