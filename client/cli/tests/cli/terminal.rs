//! What a terminal gets to see.

use std::{
    fs::File,
    io::Read as _,
    process::{Command, Stdio},
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};

use crate::{
    Site,
    daemon::{Answers, attachment},
};

/// Runs the program with standard output on a terminal of this width.
fn on_terminal(mut command: Command, columns: u16) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let end = open(name.as_c_str(), flags, Mode::empty()).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&end, size).unwrap();
    let mut raw = tcgetattr(&end).unwrap();
    raw.make_raw();
    tcsetattr(&end, OptionalActions::Now, &raw).unwrap();
    let mut child = command.stdout(end).stderr(Stdio::inherit()).spawn().unwrap();
    // The command holds the other end too.
    drop(command);
    let mut seen = Vec::new();
    // At the end Linux answers EIO.
    let _ = File::from(terminal).read_to_end(&mut seen);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    String::from_utf8(seen).unwrap()
}

fn site() -> Site {
    let mut hostile = attachment("000000000002", "\x1b[2J\u{9b}1m", "c0ffee9999999999");
    hostile.network = "\u{202e}".to_owned();
    let attachments =
        vec![attachment("000000000001", "a-container-with-a-long-name", "c0ffee0123456789"), hostile];
    Site::new(Answers { attachments, ..Default::default() })
}

#[test]
fn tables_fit_and_headings_are_bold() {
    let seen = on_terminal(site().command(&["list"]), 64);
    assert!(seen.lines().count() == 3, "{seen:?}");
    let plain = seen.replace("\x1b[1m", "").replace("\x1b[0m", "");
    assert!(plain.lines().all(|line| line.chars().count() <= 64), "{plain}");
    assert!(plain.lines().skip(1).all(|line| line.contains("  2001:db8::242:ac11:2  ")), "{plain}");
    let heading = seen.lines().next().unwrap();
    assert!(
        heading.starts_with("\x1b[1mNAME\x1b[0m") && heading.ends_with("\x1b[1mAGE\x1b[0m"),
        "{heading:?}"
    );
}

#[test]
fn colours_can_be_declined() {
    let plain = [("NO_COLOR", "1"), ("TERM", "dumb")];
    for (name, value) in plain {
        let site = site();
        let mut command = site.command(&["list"]);
        command.env(name, value);
        let seen = on_terminal(command, 200);
        assert!(!seen.contains('\x1b'), "{seen:?}");
    }
}

#[test]
fn others_texts_are_escaped() {
    for arguments in [&["list"][..], &["list", "--json"], &["show", "000000000002"]] {
        let site = site();
        let mut command = site.command(arguments);
        command.env("NO_COLOR", "1");
        let seen = on_terminal(command, 300);
        let unsafe_ = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!seen.contains(unsafe_), "{seen:?}");
        assert!(seen.contains("[2J"), "{seen:?}");
    }
}
