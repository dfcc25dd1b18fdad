//! What a reload cannot change: what the kernel, the registries or the socket were set up with.

use super::{Config, Network};

impl Config {
    /// The keys that differ in `new` although they cannot change before a restart. Rules, reservations and
    /// names can, and of a network `allow_static`, `capacity`, `rest` and `collision`.
    pub fn needs_restart(&self, new: &Self) -> Vec<String> {
        // Written out, so that whoever adds a key has to say here whether it can change.
        let Self {
            socket,
            state_dir,
            networks,
            default_network,
            admin_group,
            proof,
            guard,
            registry,
            audit,
            policy: _,
        } = self;
        let keys = [
            ("[socket]", *socket != new.socket),
            ("state_dir", *state_dir != new.state_dir),
            ("the default network", *default_network != new.default_network),
            ("admin_group", *admin_group != new.admin_group),
            ("namespace_proof", *proof != new.proof),
            ("guard", *guard != new.guard),
            ("[audit]", *audit != new.audit),
            ("[dns]", registry.dns != new.registry.dns),
            ("[consul]", registry.consul != new.registry.consul),
        ];
        let mut changed: Vec<_> =
            keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| (*key).to_owned()).collect();
        for network in networks {
            match new.networks.iter().find(|other| other.name == network.name) {
                Some(other) => changed.extend(network.needs_restart(other)),
                None => changed.push(format!("network.{} is gone", network.name)),
            }
        }
        let is_new = |network: &&Network| networks.iter().all(|known| known.name != network.name);
        changed
            .extend(new.networks.iter().filter(is_new).map(|other| format!("network.{} is new", other.name)));
        changed
    }
}

impl Network {
    fn needs_restart(&self, new: &Self) -> Vec<String> {
        let Self {
            name,
            driver,
            prefix,
            gateway,
            bridge,
            join,
            mtu,
            mode,
            allow_static: _,
            capacity: _,
            rest: _,
            collision: _,
            isolation,
        } = self;
        let keys = [
            ("driver", *driver != new.driver),
            ("prefix", *prefix != new.prefix),
            ("internal", gateway.is_some() != new.gateway.is_some()),
            ("bridge", (bridge, join) != (&new.bridge, &new.join)),
            ("mtu", *mtu != new.mtu),
            ("addresses", *mode != new.mode),
            ("isolation", *isolation != new.isolation),
        ];
        keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| format!("network.{name}.{key}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        Config::parse(text, "test".as_ref()).unwrap()
    }

    const BEFORE: &str =
        "[network.a]\nprefix = \"2001:db8:1::/80\"\n[network.b]\nprefix = \"2001:db8:2::/80\"\n";

    #[test]
    fn what_can_change_does() {
        let network = "allow_static = true\ncapacity = 5\nrest = 1\ncollision = \"share\"\n";
        let after = format!(
            "reserved_names = [\"a\"]\ncollision = \"suffix\"\n{BEFORE}{network}[[rule]]\nallow = false\n"
        );
        assert_eq!(parse(BEFORE).needs_restart(&parse(&after)), Vec::<String>::new());
        assert_eq!(parse("").needs_restart(&parse("[[rule]]\nrate = 1\n")), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_is_named() {
        for (addition, key) in [
            ("mtu = 1400\n", "network.b.mtu"),
            ("bridge = \"other\"\n", "network.b.bridge"),
            ("join = \"other\"\n", "network.b.bridge"),
            ("internal = true\n", "network.b.internal"),
            ("addresses = \"random\"\n", "network.b.addresses"),
            ("default = true\n", "the default network"),
            ("[socket]\nmode = \"0600\"\n", "[socket]"),
            ("[dns]\nttl = 5\n", "[dns]"),
            ("[consul]\n", "[consul]"),
            ("[network.c]\nprefix = \"2001:db8:3::/80\"\n", "network.c is new"),
        ] {
            let changed = parse(BEFORE).needs_restart(&parse(&format!("{BEFORE}{addition}")));
            assert_eq!(changed, [key], "{addition}");
        }
        for (addition, key) in [
            ("state_dir = \"/x\"\n", "state_dir"),
            ("admin_group = \"7\"\n", "admin_group"),
            ("namespace_proof = \"probe\"\n", "namespace_proof"),
        ] {
            assert_eq!(parse(BEFORE).needs_restart(&parse(&format!("{addition}{BEFORE}"))), [key]);
        }
        assert_eq!(parse(BEFORE).needs_restart(&parse(&BEFORE[..BEFORE.len() - 40])).len(), 1);
    }
}
