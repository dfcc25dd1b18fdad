//! The client's settings: `/etc/v6pod/client.toml`, then the environment.
//!
//! The file is the administrator's: one that others could have written is not read. The environment is
//! the user's and wins, for nothing here gives any rights; the daemon decides about those.
//!
//! What is wrong is left out and told: all of it, once. Nobody may hear that (engines keep standard error to
//! themselves), and what was meant may have been `required`; so wherever something is wrong, an address is.

use std::{ffi::OsString, fmt, fs::File, io, os::unix::fs::MetadataExt as _, path::PathBuf, time::Duration};

use crate::{
    conf::{self, Unknown, Value},
    files,
};

/// Where the file is.
pub const FILE: &str = "/etc/v6pod/client.toml";

/// Far more than any real file has.
const LARGEST: u64 = 64 * 1024;

/// A minute: longer than anybody waits for a container.
const LONGEST_TIMEOUT: u64 = 60_000;

/// Looks up a variable; `std::env::var_os` outside of tests.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The real slirp4netns; found by itself if absent.
    pub slirp4netns: Option<PathBuf>,
    /// Whether a container without an address must not start.
    pub required: bool,
    /// The network to join; empty: the daemon's default.
    pub network: String,
    /// How long everything with the daemon may take.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slirp4netns: None,
            required: false,
            network: String::new(),
            timeout: Duration::from_millis(2000),
        }
    }
}

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl Settings {
    /// Reads `file`, which has to belong to the uid `root`, then `environment`. An absent file is fine.
    pub fn load(file: &str, root: u32, environment: Environment<'_>) -> (Self, Option<Mistakes>) {
        let mut settings = Self::default();
        let mut mistakes = match read(file, root) {
            Ok(text) => settings.parse(file, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => vec![format!("{file} is ignored: {error}")],
        };
        // A line that nobody understands may be the one that requires it, and one that says `false` may be a
        // remnant: the whole file no longer counts in this.
        settings.required |= !mistakes.is_empty();
        mistakes.extend(settings.overlay(environment).err());
        if mistakes.is_empty() {
            return (settings, None);
        }
        if settings.required {
            mistakes.push("until that is put right, an address is required".to_owned());
        }
        (settings, Some(Mistakes(mistakes)))
    }

    /// Takes the lines that are right, and says what is wrong with the others.
    fn parse(&mut self, file: &str, text: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for entry in conf::entries(text) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Unknown(line)) => {
                    wrong.push(format!("{file}:{line}: expected key = value"));
                    continue;
                }
            };
            if let Err(problem) = self.set(entry.section, entry.key, entry.value) {
                wrong.push(format!("{file}:{}: {problem}", entry.line));
            }
        }
        wrong
    }

    fn set(&mut self, section: &str, key: &str, value: Value) -> Result<(), String> {
        match (section, key, value) {
            ("", "slirp4netns", Value::Text(path)) if path.starts_with('/') => {
                self.slirp4netns = Some(PathBuf::from(path));
            }
            ("", "slirp4netns", _) => return Err("slirp4netns must be an absolute path".to_owned()),
            ("", "required", Value::Bool(required)) => self.required = required,
            ("", "required", _) => return Err("required must be true or false".to_owned()),
            ("", "network", Value::Text(network)) => self.network = network,
            ("", "network", _) => return Err("network must be a string".to_owned()),
            ("", "timeout_ms", Value::Number(ms @ 1..=LONGEST_TIMEOUT)) => {
                self.timeout = Duration::from_millis(ms);
            }
            ("", "timeout_ms", _) => return Err(format!("timeout_ms must be 1 to {LONGEST_TIMEOUT}")),
            (_, key, _) => return Err(format!("there is no setting {key:?} here")),
        }
        Ok(())
    }

    /// Empty variables count as absent.
    fn overlay(&mut self, environment: Environment<'_>) -> Result<(), String> {
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        if let Some(path) = variable("V6POD_SLIRP4NETNS") {
            self.slirp4netns = Some(PathBuf::from(path));
        }
        if let Some(network) = variable("V6POD_NETWORK") {
            self.network = network.to_string_lossy().into_owned();
        }
        match variable("V6POD_REQUIRED").as_ref().map(|value| value.to_str()) {
            None => {}
            Some(Some("1" | "true")) => self.required = true,
            Some(Some("0" | "false")) => self.required = false,
            Some(_) => {
                self.required = true;
                return Err("V6POD_REQUIRED must be 1, 0, true or false".to_owned());
            }
        }
        Ok(())
    }
}

/// The file's text, if nobody but root can have written it.
fn read(file: &str, root: u32) -> io::Result<String> {
    let open = files::open(file.as_ref())?;
    check_owner(&open, root)?;
    String::from_utf8(files::read_open(open, LARGEST)?).map_err(io::Error::other)
}

fn check_owner(file: &File, root: u32) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.uid() != root {
        return Err(io::Error::other("it does not belong to root"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("others than root may write to it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// Loads a file of this text, whose owner is expected to be `root`, or this process if that is none.
    fn load(text: &str, mode: u32, root: Option<u32>, set: &[(&str, &str)]) -> (Settings, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let owner = root.unwrap_or(fs::metadata(&path).unwrap().uid());
        let environment = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        let (settings, mistakes) = Settings::load(path.to_str().unwrap(), owner, &environment);
        let place = format!("{}/", folder.path().display());
        (settings, mistakes.map(|mistakes| mistakes.to_string().replace(&place, "")))
    }

    const FULL: &str =
        "slirp4netns = \"/opt/slirp4netns\"\nrequired = true # x\nnetwork = 'blue'\ntimeout_ms = 500\n";

    fn full() -> Settings {
        Settings {
            slirp4netns: Some(PathBuf::from("/opt/slirp4netns")),
            required: true,
            network: "blue".to_owned(),
            timeout: Duration::from_millis(500),
        }
    }

    #[test]
    fn the_file_is_read() {
        assert_eq!(load(FULL, 0o644, None, &[]), (full(), None));
        assert_eq!(load("", 0o644, None, &[]), (Settings::default(), None));
    }

    #[test]
    fn an_absent_file_is_fine() {
        assert_eq!(Settings::load("/nonexistent/client.toml", 0, &|_| None), (Settings::default(), None));
    }

    #[test]
    fn the_environment_wins() {
        let set = [("V6POD_SLIRP4NETNS", "/x"), ("V6POD_REQUIRED", "0"), ("V6POD_NETWORK", "red")];
        let (settings, mistakes) = load(FULL, 0o644, None, &set);
        let slirp4netns = Some(PathBuf::from("/x"));
        let expected = Settings { slirp4netns, required: false, network: "red".to_owned(), ..full() };
        assert_eq!((settings, mistakes), (expected, None));
        let (settings, mistakes) = load(FULL, 0o644, None, &[("V6POD_NETWORK", ""), ("V6POD_REQUIRED", "x")]);
        assert_eq!(settings, full());
        assert_eq!(mistakes.unwrap(), format!("V6POD_REQUIRED must be 1, 0, true or false{UNTIL}"));
        let (settings, _) = load("", 0o644, None, &[("V6POD_REQUIRED", "yes")]);
        assert_eq!(settings, required());
    }

    const UNTIL: &str = "; until that is put right, an address is required";

    fn required() -> Settings {
        Settings { required: true, ..Settings::default() }
    }

    #[test]
    fn files_of_others_are_ignored_but_may_have_required_an_address() {
        let (settings, mistakes) = load("", 0o644, Some(12345), &[]);
        assert_eq!(settings, required());
        assert_eq!(mistakes.unwrap(), format!("client.toml is ignored: it does not belong to root{UNTIL}"));
        let (settings, mistakes) = load(FULL, 0o666, None, &[]);
        assert_eq!(settings, required());
        let expected = format!("client.toml is ignored: others than root may write to it{UNTIL}");
        assert_eq!(mistakes.unwrap(), expected);
    }

    #[test]
    fn a_file_that_cannot_be_read_may_have_required_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, mistakes) = Settings::load(folder.path().to_str().unwrap(), 0, &|_| None);
        assert_eq!(settings, required());
        assert!(mistakes.unwrap().to_string().contains(" is ignored: "));
    }

    #[test]
    fn what_is_right_counts_beside_what_is_wrong_but_never_leaves_the_address_out() {
        let text = "network = \"blue\"\nrequierd = true\nrequired = false\n";
        let (settings, mistakes) = load(text, 0o644, None, &[]);
        assert_eq!(settings, Settings { network: "blue".to_owned(), ..required() });
        assert_eq!(mistakes.unwrap(), format!("client.toml:2: there is no setting \"requierd\" here{UNTIL}"));
        // Who says it in the environment has read about it.
        let (settings, mistakes) = load(text, 0o644, None, &[("V6POD_REQUIRED", "0")]);
        assert!(!settings.required && !mistakes.unwrap().contains("an address is required"));
    }

    #[test]
    fn every_mistake_is_told() {
        let text = "slirp4netns = \"bin/x\"\ntimeout_ms = 0\nrequird = true\nnetwork\nrequired = 1\n[a]\nnetwork = 1\n";
        let (settings, mistakes) = load(text, 0o644, None, &[]);
        assert_eq!(settings, required());
        let expected = "client.toml:1: slirp4netns must be an absolute path; \
            client.toml:2: timeout_ms must be 1 to 60000; \
            client.toml:3: there is no setting \"requird\" here; \
            client.toml:4: expected key = value; \
            client.toml:5: required must be true or false; \
            client.toml:7: there is no setting \"network\" here";
        assert_eq!(mistakes.unwrap(), format!("{expected}{UNTIL}"));
    }
}
