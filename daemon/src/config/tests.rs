//! What is accepted and how refusals read.

use super::*;

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, Path::new("v6podd.toml"))
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_enough() {
    let mut config = parse("").unwrap();
    assert_eq!(config.networks.len(), 1);
    assert_eq!(config.socket.mode, 0o666);
    let network = config.needs_prefix().unwrap();
    network.set_prefix("fd00:1:2:3::/80".parse().unwrap());
    assert_eq!(network.gateway.unwrap().to_string(), "fd00:1:2:3::1");
    assert!(config.needs_prefix().is_none());
}

#[test]
fn a_prefix_is_all_one_must_write() {
    let config = parse("prefix = \"2001:db8:1:2:3::/80\"").unwrap();
    assert_eq!(config.networks[0].gateway.unwrap().to_string(), "2001:db8:1:2:3::1");
    assert_eq!(config.networks[0].bridge, "v6pod0");
    assert_eq!(config.default_network.as_str(), "default");
}

#[test]
fn an_unknown_key_is_refused_with_line_and_column() {
    let text = refusal("prefix = \"2001:db8::/80\"\nprefx = 1\n");
    assert!(text.contains("line 2, column 1") && text.contains("prefx"), "{text}");
    let text = refusal("prefix = \n");
    assert!(text.contains("line 1, column"), "{text}");
}

#[test]
fn prefixes_that_cannot_work_are_refused() {
    for (prefix, why) in [
        ("2001:db8::/81", "needs a /64 to a /80"),
        ("2001:db8::/63", "needs a /64 to a /80"),
        ("2001:db8::1/80", "write 2001:db8::/80"),
        ("ff02::/80", "not a prefix of unicast"),
        ("fe80::/80", "not a prefix of unicast"),
    ] {
        let text = refusal(&format!("prefix = {prefix:?}"));
        assert!(text.contains(why), "{prefix}: {text}");
    }
}

#[test]
fn all_reasons_are_told_at_once() {
    let text = refusal(
        "[network.a]\nprefix = \"2001:db8::/81\"\nmtu = 100\n[network.b]\n[socket]\nmode = \"9\"\npath = \"x\"",
    );
    for reason in ["network.a.prefix", "network.a.mtu", "network.b.prefix", "socket.mode", "socket.path"] {
        assert!(text.contains(reason), "{reason} in {text}");
    }
}

#[test]
fn networks_may_not_share() {
    let text = refusal(
        "[network.a]\nprefix = \"2001:db8::/64\"\nbridge = \"x\"\n\
         [network.b]\nprefix = \"2001:db8::/80\"\nbridge = \"x\"",
    );
    assert!(text.contains("overlap") && text.contains("same bridge"), "{text}");
}

#[test]
fn the_example_is_accepted_as_it_is_and_with_a_prefix_at_its_end() {
    let example = include_str!("../../../packaging/v6podd.toml");
    assert!(parse(example).is_ok());
    let config = parse(&format!("{example}prefix = \"2001:db8:1:2:3::/80\"\n")).unwrap();
    assert_eq!(config.networks[0].prefix.to_string(), "2001:db8:1:2:3::/80");
}

#[test]
fn the_audit_is_bounded() {
    let audit = parse("").unwrap().audit;
    assert_eq!((audit.file, audit.size, audit.keep), (true, 16_777_216, 8));
    let audit = parse("[audit]\nfile = false\nsize = 65536\nkeep = 0").unwrap().audit;
    assert_eq!((audit.file, audit.size, audit.keep), (false, 65_536, 0));
    let text = refusal("[audit]\nsize = 65535\nkeep = 100");
    assert!(text.contains("audit.size: 65535 is not within 65536 to 1073741824"), "{text}");
    assert!(text.contains("audit.keep: 100 is more than 99"), "{text}");
    assert!(refusal("[audit]\nsize = -1").contains("line 2"));
}

#[test]
fn every_key_that_the_example_names_exists() {
    // Settings and tables are commented out behind "# "; other such lines are prose. Values may contradict
    // each other, for they are alternatives; what is asked here is whether the keys are known.
    let is_setting = |line: &&str| {
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
    };
    let example = include_str!("../../../packaging/v6podd.toml");
    let lines: Vec<_> =
        example.lines().filter_map(|line| line.strip_prefix("# ")).filter(is_setting).collect();
    let text = lines.join("\n");
    let tables = [
        "[socket]",
        "[network.default]",
        "[dns]",
        "[consul]",
        "[audit]",
        "[[rule]]",
        "[[reservation]]",
        "[policy]",
    ];
    assert!(tables.iter().all(|table| text.contains(table)), "{text}");
    if let Err(error @ Error::Syntax { .. }) = parse(&text) {
        panic!("{error}\n{text}");
    }
}

#[test]
fn the_manuals_example_is_accepted() {
    let manual = include_str!("../../../docs/policy.md");
    let example = manual.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let reasons = match parse(example) {
        Ok(_) => Vec::new(),
        Err(Error::Values { reasons, .. }) => reasons,
        Err(error) => panic!("{error}"),
    };
    // Whom it names need not be there.
    let others: Vec<_> = reasons.iter().filter(|reason| !reason.contains("there is no ")).collect();
    assert!(others.is_empty(), "{others:?}");
    let with_numbers =
        example.replace("\"alice\"", "1001").replace("\"staff\"", "50").replace("\"students\"", "60");
    assert_eq!(parse(&with_numbers).map(|config| config.networks.len()).unwrap(), 2);
}

#[test]
fn the_example_shows_the_default_limits() {
    // Commented out, in the example's own rule, stand the defaults: it has to say so truly.
    let example = include_str!("../../../packaging/v6podd.toml");
    let limits = policy::Limits::default();
    let rate = limits.rate.unwrap();
    for (key, value) in
        [("attachments", limits.attachments.unwrap()), ("rate", rate.per_minute), ("burst", rate.burst)]
    {
        assert!(example.lines().any(|line| line.starts_with(&format!("# {key} = {value} "))), "{key}");
    }
    let ours = "without any, 64 attachments and 120 activations a minute";
    assert_eq!(
        (limits.attachments, rate.per_minute),
        (Some(64), 120),
        "the manual and the README say: {ours}"
    );
}

#[test]
fn what_is_no_toml_is_told_in_one_line_that_says_what_to_write() {
    let quoted = "write it in quotes, with its length: \"2001:db8:1:2:3::/80\"";
    let length = "write an IPv6 prefix with its length: \"2001:db8:1:2:3::/80\"";
    for (text, place, advice) in [
        ("prefix = 2001:db8::/80\n", "line 1, column ", quoted),
        ("[network.a]\n  prefix = fd00::/80\n", "line 2, column ", quoted),
        ("network.a.prefix = fd00::/80\n", "line 1, column ", quoted),
        ("\n# \u{fc}\nprefix = \"10.0.0.0/24\" # \u{fc}\n", "line 3, column 10: ", length),
        ("prefix = \"2001:db8::\"\n", "line 1, column 10: ", length),
        ("[socket]\nmode = 0600\n", "line 2, column ", "write it in quotes: \"0600\""),
    ] {
        let refusal = refusal(text);
        assert!(refusal.starts_with(&format!("v6podd.toml: {place}")), "{refusal}");
        assert!(refusal.ends_with(&format!(": {advice}")), "{refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
    // Not where something else is amiss.
    for text in ["[consul]\nmode = \"node\"\n", "prefxi = 1\n", "[socket\n", "\0", "mtu = 1500\nmtu = 1\n"] {
        let refusal = refusal(text);
        assert!(!refusal.contains("quotes") && refusal.lines().count() == 1, "{refusal}");
    }
}

#[test]
fn a_network_whose_name_is_too_long_for_a_bridge_is_told_to_name_one() {
    let network =
        |name: &str, bridge: &str| parse(&format!("[network.{name}]\nprefix = \"2001:db8::/80\"\n{bridge}"));
    assert!(network("long-networ", "").is_ok() && network("long-network", "bridge = \"long0\"").is_ok());
    let refusal = network("long-network", "").unwrap_err().to_string();
    assert!(
        refusal.contains("network.long-network.bridge: write bridge = ") && refusal.contains("11"),
        "{refusal}"
    );
}
