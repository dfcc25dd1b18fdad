//! The ruleset as people read it is the ruleset that the kernel has.

use v6pod_integration::Host;

/// What nft(8) prints for a network of each kind.
const EXPECTED: &str = include_str!("../../../daemon/src/guard/nftables/ruleset.nft");

const CONFIGURATION: &str = r#"
[network.a]
prefix = "2001:db8:a::/80"
[network.b]
prefix = "2001:db8:b::/80"
isolation = "user"
[network.c]
prefix = "2001:db8:c::/64"
isolation = "group"
[network.d]
prefix = "2001:db8:d::/80"
isolation = "isolated"
"#;

/// Without what is a matter of taste of nft's versions: white space.
fn words(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect()
}

#[test]
fn the_kernel_has_what_stands_in_the_file() {
    let host = Host::builder("one").without_wrapper().build();
    let _daemon = host.daemon(CONFIGURATION);
    let found = host.run(["nft", "-s", "list", "ruleset"]).stdout;
    assert_eq!(words(&found), words(EXPECTED), "nft prints\n{found}");
}

#[test]
fn a_network_that_is_open_costs_no_more_than_it_must() {
    let host = Host::builder("one").without_wrapper().build();
    let _daemon = host.daemon("prefix = \"2001:db8:1::/80\"\n");
    let found = host.run(["nft", "-s", "list", "ruleset"]).stdout;
    for needless in ["hook forward", "tenant", "mark", "ct "] {
        assert!(!found.contains(needless), "{needless} in\n{found}");
    }
}
