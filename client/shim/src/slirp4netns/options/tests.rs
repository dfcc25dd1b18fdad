//! The table of command lines, and properties over all of them.

use proptest::prelude::*;

use super::*;

fn split(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn parsed(line: &str) -> CommandLine {
    parse(&split(line), Order::Permuted).unwrap_or_else(|other| panic!("{line}: {other:?}"))
}

#[test]
fn command_lines_of_engines() {
    // podman 1.6, 1.8, 3.0, 4.3, 4.6 and later, its shared namespace, and rootlesskit, old and detached.
    for (line, target, exit_fd, ready_fd) in [
        (
            "--api-socket /t/ID.net --disable-host-loopback --mtu 65520 --enable-sandbox -c -e 3 -r 4 --netns-type=path /n tap0",
            Target::Path("/n".into()),
            Some(3),
            Some(4),
        ),
        ("--mtu 65520 -c -e 3 -r 4 77 tap0", Target::Pid(77), Some(3), Some(4)),
        (
            "--disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp -c -r 3 -e 4 --netns-type=path /n tap0",
            Target::Path("/n".into()),
            Some(4),
            Some(3),
        ),
        ("-c -r 3 --netns-type=path /n tap0", Target::Path("/n".into()), None, Some(3)),
        ("--mtu 65520 -r 3 --cidr 10.0.2.0/24 4711 tap0", Target::Pid(4711), None, Some(3)),
        (
            "-r 3 --userns-path=/proc/9/ns/user --netns-type=path /proc/9/root/s/netns tap0",
            Target::Path("/proc/9/root/s/netns".into()),
            None,
            Some(3),
        ),
    ] {
        let seen = parsed(line);
        assert_eq!((seen.target, seen.exit_fd, seen.ready_fd), (target, exit_fd, ready_fd), "{line}");
        assert_eq!(seen.passed, split(line));
        assert_eq!(seen.tap, "tap0");
    }
}

#[test]
fn ipv6_is_dropped_and_nothing_else() {
    for (line, passed) in [
        ("-6 1 tap0", "1 tap0"),
        ("1 tap0 -6", "1 tap0"),
        ("1 -6 tap0", "1 tap0"),
        ("--enable-ipv6 1 tap0", "1 tap0"),
        ("--enable-i 1 tap0", "1 tap0"),
        ("-c6 1 tap0", "-c 1 tap0"),
        ("-6c 1 tap0", "-c 1 tap0"),
        ("-66 1 tap0", "1 tap0"),
        ("-6cr3 1 tap0", "-cr3 1 tap0"),
        ("-c6r 3 1 tap0", "-cr 3 1 tap0"),
        ("-6r 3 1 tap0", "-r 3 1 tap0"),
        ("-cr3 -6 -e4 1 tap0", "-cr3 -e4 1 tap0"),
        ("--outbound-addr6=::1 1 tap0", "1 tap0"),
        ("--outbound-addr6 ::1 1 tap0", "1 tap0"),
        ("--outbound-addr6= 1 tap0", "1 tap0"),
        ("--outbound-addr=1.2.3.4 --outbound-addr6=::1 1 tap0", "--outbound-addr=1.2.3.4 1 tap0"),
        ("--outbound-addr6 -6 1 tap0", "1 tap0"),
        ("-6 -- 1 -6", "-- 1 -6"),
        ("-- 1 tap0 --enable-ipv6", "-- 1 tap0 --enable-ipv6"),
        // Values that look like options stay.
        ("-a -6 1 tap0", "-a -6 1 tap0"),
        ("-a-6 1 tap0", "-a-6 1 tap0"),
        ("-a6 1 tap0", "-a6 1 tap0"),
        ("--cidr --enable-ipv6 1 tap0", "--cidr --enable-ipv6 1 tap0"),
        ("--api --outbound-addr6 1 tap0", "--api --outbound-addr6 1 tap0"),
    ] {
        assert_eq!(parsed(line).passed, split(passed), "{line}");
    }
}

#[test]
fn posix_ends_the_options_at_the_first_other_argument() {
    for (line, passed) in [("-6 1 tap0 -6", "1 tap0 -6"), ("1 -6 -- tap0", "1 -6 -- tap0")] {
        let seen = parse(&split(line), Order::Posix).unwrap();
        assert_eq!(seen.passed, split(passed), "{line}");
    }
    assert_eq!(parse(&split("1 tap0 -r 3"), Order::Posix).unwrap().ready_fd, None);
    assert_eq!(parse(&split("-c -- 1 tap0"), Order::Posix).unwrap().tap, "tap0");
}

#[test]
fn spellings_of_values() {
    for line in ["-r3", "-r 3", "-cr3", "-cr 3", "--ready-fd=3", "--ready-fd 3", "--r=3", "--ready 3"] {
        let seen = parsed(&format!("{line} 1 tap0"));
        assert_eq!((seen.ready_fd, seen.named.as_slice()), (Some(3), [3].as_slice()), "{line}");
        assert_eq!(seen.target, Target::Pid(1));
    }
    let seen = parsed("-e 3 --exit-fd=12 -r 4 -a /a --api-socket=/b 1 tap0 extra");
    assert_eq!((seen.exit_fd, seen.named), (Some(12), vec![3, 12, 4]));
    assert_eq!(seen.api_socket, Some("/b".into()));
    assert_eq!(parsed("--netns-type=pid --netns-type path 1 tap0").target, Target::Path("1".into()));
    assert_eq!(parsed("--target-type netns - tap0 --netns-t=path").target, Target::Path("-".into()));
}

#[test]
fn other_command_lines() {
    for (line, other) in [
        ("", Other::NoTarget),
        ("-c", Other::NoTarget),
        ("1", Other::NoTarget),
        ("--netns-type=path /n", Other::NoTarget),
        ("--help", Other::Information),
        ("-h", Other::Information),
        ("-6h", Other::Information),
        ("--ver", Other::Information),
        ("-v 1 tap0", Other::Information),
        ("--netns-type=tapfd 5 tap0", Other::NotANamespace),
        ("--target-type=bess /s", Other::NotANamespace),
        ("x tap0", Other::Malformed),
        ("0 tap0", Other::Malformed),
        ("+1 tap0", Other::Malformed),
        ("99999999999 tap0", Other::Malformed),
        ("-x 1 tap0", Other::Malformed),
        ("-c- 1 tap0", Other::Malformed),
        ("--unknown 1 tap0", Other::Malformed),
        ("--= 1 tap0", Other::Malformed),
        ("--- 1 tap0", Other::Malformed),
        ("--enable-s 1 tap0", Other::Malformed),
        ("--e 1 tap0", Other::Malformed),
        ("--outbound-a=1.2.3.4 1 tap0", Other::Malformed),
        ("--enable-ipv6=1 1 tap0", Other::Malformed),
        ("-r x 1 tap0", Other::Malformed),
        ("-r 1 tap0 -e", Other::Malformed),
        ("1 tap0 --outbound-addr6", Other::Malformed),
        ("-e 4294967295 1 tap0", Other::Malformed),
    ] {
        assert_eq!(parse(&split(line), Order::Permuted), Err(other), "{line}");
    }
}

#[test]
fn bytes_that_are_no_text_survive() {
    let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let arguments =
        [odd(b"--netns-type=path"), odd(b"-a\xff"), odd(b"-6"), odd(b"/n\xfe"), odd(b""), odd(b"\xfd")];
    let seen = parse(&arguments, Order::Permuted).unwrap();
    assert_eq!(seen.target, Target::Path(odd(b"/n\xfe").into()));
    assert_eq!((seen.tap, seen.api_socket), (odd(b""), Some(odd(b"\xff").into())));
    let passed: Vec<_> = arguments.iter().filter(|argument| *argument != "-6").cloned().collect();
    assert_eq!(seen.passed, passed);
}

/// Arguments with and without a meaning, none of which ask for IPv6.
fn without_ipv6() -> impl Strategy<Value = Vec<OsString>> {
    let pieces = prop_oneof![
        Just("-c"),
        Just("-r"),
        Just("-cr3"),
        Just("-e4"),
        Just("--mtu=1"),
        Just("--mtu"),
        Just("--netns-type"),
        Just("path"),
        Just("--disable-dns"),
        Just("--"),
        Just("3"),
        Just("tap0"),
        Just("-"),
        Just(""),
        Just("--api")
    ]
    .prop_map(OsString::from);
    let free = proptest::collection::vec(any::<u8>(), 0..6).prop_map(OsString::from_vec);
    let asks = |a: &OsString| {
        let bytes = a.as_bytes();
        bytes.contains(&b'6') || bytes.starts_with(b"--e") || bytes.starts_with(b"--o")
    };
    let free = free.prop_filter("asks for IPv6", move |argument| !asks(argument));
    proptest::collection::vec(prop_oneof![4 => pieces, 1 => free], 0..12)
}

proptest! {
    #[test]
    fn without_ipv6_nothing_changes(arguments in without_ipv6()) {
        if let Ok(line) = parse(&arguments, Order::Permuted) {
            prop_assert_eq!(line.passed, arguments);
        }
    }

    #[test]
    fn without_ipv6_a_good_line_is_still_one(mut arguments in without_ipv6(), at in 0_usize..12) {
        let before = parse(&arguments, Order::Permuted);
        arguments.insert(at.min(arguments.len()), "-6".into());
        // Unless it became a value, or stands behind `--`, or parted an option from its value.
        if let (Ok(before), Ok(after)) = (before, parse(&arguments, Order::Permuted)) {
            prop_assert!(after.passed == before.passed || after.passed == arguments);
        }
    }

    #[test]
    fn never_panics(arguments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..8)) {
        let arguments: Vec<_> = arguments.into_iter().map(OsString::from_vec).collect();
        let _ = parse(&arguments, Order::Permuted);
    }

    #[test]
    fn what_is_passed_on_parses_to_the_same(arguments in without_ipv6(), extra in "-[c6]{1,4}") {
        let mut all = vec![OsString::from(extra)];
        all.extend(arguments);
        if let Ok(line) = parse(&all, Order::Permuted) {
            let again = parse(&line.passed, Order::Permuted);
            prop_assert_eq!(again, Ok(line));
        }
    }
}
