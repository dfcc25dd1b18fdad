//! The OCI hook: podman starts it for every container that asks for it, whatever else gives networking.
//!
//! podman looks for hooks in the folders of `hooks_dir`, where a later configuration file replaces the
//! whole list of an earlier one. So the list that is written holds what is in force now, and ours.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Error, HOOK, Wanted,
    plan::{self, Change},
    podman::Podman,
    scope::Scope,
};

/// Which containers it is for, as packages have it too.
const HOOK_FILE: &str = include_str!("../../../../../packaging/hooks.d/v6pod.json");

/// Where podman looks unless it is told.
const DEFAULT_FOLDER: &str = "usr/share/containers/oci/hooks.d";

/// A folder that only packages make. They put the hook into podman's own folder, and take it from there.
const PACKAGED: &str = "usr/share/v6pod/hooks.d";

/// The configuration file that says where else.
const DROP_IN: &str = "v6pod-hook.conf";

/// What the hook needs.
pub fn wanted(scope: &Scope, podman: Podman, undo: bool) -> Result<Wanted, Error> {
    let file = |folder: PathBuf| Change::Own {
        path: folder.join("v6pod.json"),
        contents: HOOK_FILE.to_owned(),
        is_ours,
    };
    let folder = scope.config("containers/oci/hooks.d");
    let drop_in = |folders: &[String]| {
        let folders: Vec<String> =
            folders.iter().map(|folder| Value::from(&folder[..]).to_string()).collect();
        let lines = format!("[engine]\nhooks_dir = [{}]\n", folders.join(", "));
        let path = scope.config("containers/containers.conf.d").join(DROP_IN);
        Change::marked(path, "hook", &lines)
    };
    let is_packaged = scope.system(PACKAGED).exists();
    let everybodys = (!podman.reads_drop_ins() && scope.user().is_none())
        .then(|| (!is_packaged).then(|| file(scope.system(DEFAULT_FOLDER))));
    let has_it = |folders: &[String]| {
        let place = scope.system(DEFAULT_FOLDER).join("v6pod.json");
        is_packaged
            && place.exists()
            && folders.iter().any(|folder| folder[..] == format!("/{DEFAULT_FOLDER}"))
    };
    let changes = if undo {
        [drop_in(&[]), file(folder)].into_iter().chain(everybodys.flatten()).collect()
    } else if has_it(&folders_in_force(scope)?) {
        Vec::new()
    } else if podman.reads_drop_ins() {
        let mut folders = folders_in_force(scope)?;
        let own = folder.to_str().ok_or_else(|| Error::Unspeakable(folder.clone()))?;
        if !folders.iter().any(|folder| folder == own) {
            folders.push(own.to_owned());
        }
        // The hook first: a folder that is named should be there.
        vec![file(folder), drop_in(&folders)]
    } else if let Some(everybodys) = everybodys {
        everybodys.into_iter().collect()
    } else {
        return Err(podman
            .cannot("reads no drop-in files: set it up for everybody as root, or use podman --hooks-dir"));
    };
    let next = match undo {
        true => Vec::new(),
        false => ["podman run -d --name web --annotation v6pod.network= IMAGE", "v6pod list"]
            .map(str::to_owned)
            .to_vec(),
    };
    let mut notes = podman.notes();
    if changes.is_empty() {
        notes.push(format!("the package has it already: /{DEFAULT_FOLDER}/v6pod.json"));
    }
    Ok(Wanted { changes, next, notes })
}

fn is_ours(text: &str) -> bool {
    serde_json::from_str(text).is_ok_and(|hook: Value| hook["hook"]["path"] == HOOK)
}

/// The folders that podman would look in without our drop-in.
fn folders_in_force(scope: &Scope) -> Result<Vec<String>, Error> {
    let main = Path::new("containers/containers.conf");
    let mut files = vec![scope.system("usr/share").join(main)];
    for config in [scope.system("etc"), scope.config("")] {
        files.push(config.join(main));
        files.extend(drop_ins(&config.join("containers/containers.conf.d")));
        if scope.user().is_none() {
            break;
        }
    }
    let own = scope.config("containers/containers.conf.d").join(DROP_IN);
    let mut folders = vec![format!("/{DEFAULT_FOLDER}")];
    for file in files.iter().filter(|file| **file != own) {
        let text = plan::read(file)?.unwrap_or_default();
        // podman itself will say what is wrong with it.
        let table: toml::Table = text.parse().unwrap_or_default();
        let list = table.get("engine").and_then(|engine| engine.get("hooks_dir")?.as_array());
        let Some(list) = list else { continue };
        let adds = |value: &toml::Value| value.get("append").and_then(toml::Value::as_bool);
        if !list.iter().filter_map(adds).next_back().unwrap_or(false) {
            folders.clear();
        }
        folders.extend(list.iter().filter_map(toml::Value::as_str).map(str::to_owned));
    }
    Ok(folders)
}

/// The files of a folder that podman reads, in its order.
fn drop_ins(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "conf")).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn written(change: &Change) -> (String, String) {
        let Change::Own { path, contents, .. } = change else { panic!() };
        (path.display().to_string(), contents.clone())
    }

    #[test]
    fn the_packaged_file_is_a_hook_and_ours() {
        let hook: Value = serde_json::from_str(HOOK_FILE).unwrap();
        assert_eq!(hook["version"], "1.0.0");
        assert_eq!(hook["stages"], serde_json::json!(["createRuntime", "poststop"]));
        assert!(is_ours(HOOK_FILE));
        assert!(!is_ours("{}") && !is_ours("") && !is_ours(r#"{"hook": {"path": "/other"}}"#));
    }

    #[test]
    fn folders_that_are_in_force_stay_so() {
        let place = tempfile::tempdir().unwrap();
        let scope = Scope::of(place.path(), Some("ann"));
        let folders = || folders_in_force(&scope).unwrap();
        assert_eq!(folders(), ["/usr/share/containers/oci/hooks.d"]);
        put(place.path(), "etc/containers/containers.conf.d/a.conf", "[engine]\nhooks_dir = ['/a']\n");
        assert_eq!(folders(), ["/a"]);
        let more = "[engine]\nhooks_dir = ['/b', {append=true}]\n";
        put(place.path(), "home/.config/containers/containers.conf", more);
        assert_eq!(folders(), ["/a", "/b"]);
        assert_eq!(folders_in_force(&Scope::of(place.path(), None)).unwrap(), ["/a"], "theirs is not asked");
        put(place.path(), "home/.config/containers/containers.conf.d/z.conf", "not TOML");
        put(
            place.path(),
            "home/.config/containers/containers.conf.d/v6pod-hook.conf",
            "[engine]\nhooks_dir=[]",
        );
        assert_eq!(folders(), ["/a", "/b"]);
    }

    #[test]
    fn a_users_hook_has_a_folder_of_its_own() {
        let place = tempfile::tempdir().unwrap();
        let scope = Scope::of(place.path(), Some("ann"));
        let changes = wanted(&scope, Podman::Version(4, 3), false).unwrap().changes;
        let own = scope.config("containers/oci/hooks.d");
        let (path, text) = written(&changes[0]);
        assert_eq!((path, text.as_str()), (own.join("v6pod.json").display().to_string(), HOOK_FILE));
        let (_, text) = written(&changes[1]);
        let table: toml::Table = text.parse().unwrap();
        let folders: Vec<_> = table["engine"]["hooks_dir"].as_array().unwrap().iter().collect();
        assert_eq!(folders[0].as_str(), Some("/usr/share/containers/oci/hooks.d"));
        assert_eq!(folders[1].as_str(), own.to_str());
    }

    #[test]
    fn an_old_podman_has_hooks_for_everybody_alone() {
        let scope = |user| Scope::of(Path::new("/x"), user);
        assert!(wanted(&scope(Some("ann")), Podman::Version(3, 0), false).is_err());
        let changes = wanted(&scope(None), Podman::Version(3, 0), false).unwrap().changes;
        let paths: Vec<_> = changes.iter().map(|change| written(change).0).collect();
        assert_eq!(paths, ["/x/usr/share/containers/oci/hooks.d/v6pod.json"]);
    }

    #[test]
    fn what_a_package_has_put_there_is_left_to_it() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join(PACKAGED)).unwrap();
        let scope = Scope::of(place.path(), None);
        let old = wanted(&scope, Podman::Version(3, 0), false).unwrap();
        assert!(old.changes.is_empty() && old.notes.iter().any(|note| note.contains("package")));
        let undone = wanted(&scope, Podman::Version(3, 0), true).unwrap().changes;
        assert!(undone.iter().all(|change| !written(change).0.contains("/usr/share/")));
        put(place.path(), "usr/share/containers/oci/hooks.d/v6pod.json", HOOK_FILE);
        for scope in [&scope, &Scope::of(place.path(), Some("ann"))] {
            let wanted = wanted(scope, Podman::Version(4, 3), false).unwrap();
            assert!(wanted.changes.is_empty());
            let note = "the package has it already: /usr/share/containers/oci/hooks.d/v6pod.json";
            assert!(wanted.notes.iter().any(|line| line == note), "{:?}", wanted.notes);
        }
        // Unless podman is told not to look there: then it takes a file of one's own.
        put(place.path(), "etc/containers/containers.conf", "[engine]\nhooks_dir = ['/a']\n");
        assert_eq!(wanted(&scope, Podman::Version(4, 3), false).unwrap().changes.len(), 2);
    }
}
