//! Addresses are unique, stable where promised, and refused in words.

use proptest::prelude::*;

use super::*;
use crate::config::Config;

fn pool(extra: &str) -> Pool {
    let text = format!("[network.n]\nprefix = \"2001:db8:1:2:3::/80\"\n{extra}");
    let config = Config::parse(&text, "test".as_ref()).unwrap();
    Pool::new(&config.networks[0], [7; 16])
}

fn asks(uid: u32, label: &str) -> Applicant<'_> {
    Applicant {
        uid,
        label,
        address: None,
        random: 0x1234_5678_9abc_def0,
        may_choose: false,
        space: Space::Whole,
        reservation: None,
    }
}

#[test]
fn stable_addresses_come_back() {
    let now = Instant::now();
    let mut pool = pool("");
    let first = pool.propose(&asks(1000, "web"), now).unwrap();
    assert_ne!(pool.propose(&asks(1001, "web"), now).unwrap(), first, "another owner");
    assert_ne!(pool.propose(&asks(1000, "db"), now).unwrap(), first, "another name");
    pool.release(first.1, "web", now);
    assert_eq!(pool.propose(&asks(1000, "web"), now).unwrap(), first, "the same one again, without a rest");
}

#[test]
fn a_second_of_the_same_name_gets_another() {
    let now = Instant::now();
    let mut pool = pool("");
    let first = pool.propose(&asks(1000, "web"), now).unwrap();
    assert_ne!(pool.propose(&asks(1000, "web"), now).unwrap(), first);
}

#[test]
fn owners_are_readable() {
    let now = Instant::now();
    let mut pool = pool("addresses = \"owner\"");
    assert_eq!(pool.propose(&asks(1001, ""), now).unwrap().0.to_string(), "2001:db8:1:2:3:600:1001:1");
    assert_eq!(pool.propose(&asks(1001, ""), now).unwrap().0.to_string(), "2001:db8:1:2:3:600:1001:2");
    assert_eq!(
        pool.propose(&asks(0xdead_beef, ""), now).unwrap().0.to_string(),
        "2001:db8:1:2:3:ade:adbe:ef01"
    );
}

#[test]
fn sequential_addresses_rest() {
    let now = Instant::now();
    let mut pool = pool("addresses = \"sequential\"\nrest = 10");
    let first = pool.propose(&asks(1, ""), now).unwrap();
    assert_eq!(first.0.to_string(), "2001:db8:1:2:3:200:0:1");
    pool.release(first.1, "", now);
    assert_eq!(pool.propose(&asks(1, ""), now).unwrap().0.to_string(), "2001:db8:1:2:3:200:0:2");
    pool.next.clear();
    assert_eq!(pool.propose(&asks(1, ""), now).unwrap().0.to_string(), "2001:db8:1:2:3:200:0:3", "it rests");
    pool.next.clear();
    let later = now + Duration::from_secs(11);
    assert_eq!(pool.propose(&asks(1, ""), later).unwrap(), first, "it has rested");
}

#[test]
fn fixed_addresses_are_checked() {
    let now = Instant::now();
    let at = |address: &str| Applicant {
        address: Some(address.parse().unwrap()),
        may_choose: true,
        ..asks(1, "x")
    };
    let may_not = Applicant { may_choose: false, ..at("2001:db8:1:2:3::5") };
    assert!(matches!(pool("").propose(&may_not, now), Err(Error::StaticForbidden(_))));
    let mut pool = pool("addresses = \"static\"");
    assert!(matches!(pool.propose(&asks(1, "x"), now), Err(Error::AddressNeeded(_))));
    assert!(matches!(pool.propose(&at("2001:db8:1:2:4::5"), now), Err(Error::Outside { .. })));
    for address in ["2001:db8:1:2:3::", "2001:db8:1:2:3::1", "2001:db8:1:2:3:242::5", "2001:db8:1:2:3:100::5"]
    {
        assert!(matches!(pool.propose(&at(address), now), Err(Error::Reserved(..))), "{address}");
    }
    pool.propose(&at("2001:db8:1:2:3::5"), now).unwrap();
    assert!(matches!(pool.propose(&at("2001:db8:1:2:3::5"), now), Err(Error::Taken(_))));
}

/// One prefix is one user, whatever the network's own way of choosing is.
#[test]
fn a_prefix_of_ones_own_is_ones_own() {
    let now = Instant::now();
    let at = |address: &str| Some(address.parse().unwrap());
    for mode in ["stable", "random", "sequential", "owner"] {
        let mut pool = pool(&format!("addresses = \"{mode}\""));
        let own = own_prefix(1001, pool.prefix);
        assert_eq!(own.to_string(), "2001:db8:1:2:3:600:1001:0/112");
        let mine = Applicant { space: Space::Own(1001), may_choose: true, ..asks(1001, "web") };
        for _ in 0..70 {
            assert!(own.contains(&pool.propose(&mine, now).unwrap().0), "{mode}");
        }
        let chosen = Applicant { address: at("2001:db8:1:2:3:600:1001:ffff"), ..mine };
        pool.propose(&chosen, now).unwrap();
        let elsewhere = Applicant { address: at("2001:db8:1:2:3:600:1002:1"), ..mine };
        assert_eq!(
            pool.propose(&elsewhere, now).unwrap_err().to_string(),
            "2001:db8:1:2:3:600:1002:1 is not within 2001:db8:1:2:3:600:1001:0/112"
        );
        let stranger = Applicant { space: Space::Common, may_choose: true, ..asks(7, "x") };
        let into_mine = Applicant { address: at("2001:db8:1:2:3:600:1001:5000"), ..stranger };
        assert!(matches!(pool.propose(&into_mine, now), Err(Error::Reserved(..))), "{mode}");
    }
    let wide = own_prefix(4_000_000_000, pool("").prefix);
    assert_eq!(wide.to_string(), "2001:db8:1:2:3:aee:6b28:0/120");
}

#[test]
fn a_reserved_address_is_kept() {
    let now = Instant::now();
    let mut pool = pool("");
    let reserved: Ipv6Addr = "2001:db8:1:2:3::5".parse().unwrap();
    pool.adjust(10, Duration::from_secs(60), HashSet::from([Mac::of(reserved)]));
    let theirs = Applicant { reservation: Some(reserved), ..asks(1, "web") };
    let other = Applicant { address: Some(reserved), may_choose: true, ..asks(1, "db") };
    assert_eq!(pool.propose(&other, now), Err(Error::Taken(reserved)));
    let (address, mac) = pool.propose(&theirs, now).unwrap();
    assert_eq!(address, reserved);
    // It outlives the container, without a rest for those it is for.
    pool.release(mac, "another label", now);
    assert_eq!(pool.propose(&other, now), Err(Error::Taken(reserved)));
    let asked_for = Applicant { address: Some(reserved), ..theirs };
    pool.resting.clear();
    assert_eq!(pool.propose(&asked_for, now).unwrap().0, reserved, "also where nobody may choose");
    assert_ne!(pool.propose(&theirs, now).unwrap().0, reserved, "a second one has another");
}

proptest! {
    #[test]
    fn who_has_no_prefix_is_in_nobodys(random in any::<u64>(), label in "[a-c]{0,2}", uid in any::<u32>()) {
        let mut pool = pool("");
        let applicant = Applicant { random, space: Space::Common, ..asks(uid, &label) };
        prop_assert!(!mode::is_own(pool.propose(&applicant, Instant::now()).unwrap().1));
    }

    #[test]
    fn no_two_users_have_the_same_prefix(one in any::<u32>(), other in any::<u32>()) {
        let prefix = "2001:db8:1:2:3::/80".parse().unwrap();
        let (a, b) = (own_prefix(one, prefix), own_prefix(other, prefix));
        prop_assert_eq!(one == other, a.contains(&b) || b.contains(&a));
    }
}

/// An applicant who names an address.
fn names(uid: u32, label: &str, address: Ipv6Addr) -> Applicant<'_> {
    Applicant { address: Some(address), ..asks(uid, label) }
}

#[test]
fn naming_the_address_one_gets_anyway_is_no_choice() {
    let now = Instant::now();
    let mut pool = pool("");
    let (address, mac) = pool.propose(&asks(1000, "web"), now).unwrap();
    let forbidden = Err(Error::StaticForbidden("n".to_owned()));
    assert_eq!(pool.propose(&names(1000, "web", address), now), forbidden, "it is in use");
    pool.release(mac, "web", now);
    let elsewhere = mac.in_prefix("2001:db8:9::/80".parse().unwrap());
    for stranger in [
        names(1001, "web", address),
        names(1000, "db", address),
        names(1000, "", address),
        names(1000, "web", "2001:db8:1:2:3:200:0:5".parse().unwrap()),
    ] {
        assert_eq!(pool.propose(&stranger, now), forbidden, "{stranger:?}");
    }
    assert!(matches!(pool.propose(&names(1000, "web", elsewhere), now), Err(Error::Outside { .. })));
    assert_eq!(pool.propose(&names(1000, "web", address), now).unwrap(), (address, mac));

    // The same on a pool that remembers nothing: after a restart of the daemon, or before the first attach.
    let mut fresh = self::pool("");
    assert_eq!(fresh.propose(&names(1000, "db", address), now), forbidden);
    assert_eq!(fresh.propose(&names(1001, "web", address), now), forbidden);
    assert_eq!(fresh.propose(&names(1000, "web", address), now).unwrap(), (address, mac));
}

#[test]
fn a_former_address_can_be_named_while_it_rests() {
    let now = Instant::now();
    for mode in ["random", "sequential", "owner"] {
        let mut pool = pool(&format!("addresses = \"{mode}\"\nrest = 10"));
        let (address, mac) = pool.propose(&asks(1000, "web"), now).unwrap();
        pool.release(mac, "web", now);
        for stranger in [names(1001, "web", address), names(1000, "db", address), names(1000, "", address)] {
            assert!(
                matches!(pool.propose(&stranger, now), Err(Error::StaticForbidden(_))),
                "{mode} {stranger:?}"
            );
        }
        assert_eq!(pool.propose(&names(1000, "web", address), now).unwrap(), (address, mac), "{mode}");
        pool.release(mac, "web", now);
        let later = now + Duration::from_secs(11);
        let late = pool.propose(&names(1000, "web", address), later);
        assert!(matches!(late, Err(Error::StaticForbidden(_))), "{mode}: it has rested");
    }
}

#[test]
fn who_has_no_label_names_nothing() {
    let now = Instant::now();
    for mode in ["stable", "random", "sequential", "owner"] {
        let mut pool = pool(&format!("addresses = \"{mode}\""));
        let (address, mac) = pool.propose(&asks(1000, ""), now).unwrap();
        pool.release(mac, "", now);
        let again = pool.propose(&names(1000, "", address), now);
        assert!(matches!(again, Err(Error::StaticForbidden(_))), "{mode}");
    }
}

#[test]
fn a_full_pool_says_so() {
    let now = Instant::now();
    let mut pool = pool("capacity = 2");
    pool.propose(&asks(1, "a"), now).unwrap();
    let second = pool.propose(&asks(1, "b"), now).unwrap();
    let error = pool.propose(&asks(1, "c"), now).unwrap_err();
    assert_eq!(error.to_string(), "the network n is full: all 2 places are taken");
    pool.release(second.1, "b", now);
    pool.propose(&asks(1, "c"), now).unwrap();
}

proptest! {
    #[test]
    fn whatever_happens_addresses_are_unique_and_usable(
        mode in prop::sample::select(vec!["stable", "random", "sequential", "owner"]),
        steps in prop::collection::vec((0u32..4, "[a-c]{0,2}", any::<u64>(), any::<bool>()), 1..120),
    ) {
        let mut pool = pool(&format!("addresses = \"{mode}\"\nrest = 5"));
        let mut now = Instant::now();
        let mut held: Vec<(Mac, String)> = Vec::new();
        for (uid, label, random, free) in steps {
            now += Duration::from_secs(1);
            if free && !held.is_empty() {
                let (mac, label) = held.swap_remove(usize::from(random.to_be_bytes()[0]) % held.len());
                pool.release(mac, &label, now);
                continue;
            }
            let applicant = Applicant { random, ..asks(uid, &label) };
            let (address, mac) = pool.propose(&applicant, now).unwrap();
            prop_assert!(!held.iter().any(|(other, _)| *other == mac));
            prop_assert!(mac.is_unicast() && mac.0[0] & 2 == 2 && mac.0[..2] != [2, 0x42]);
            prop_assert_eq!(Mac::of(address), mac);
            held.push((mac, label));
        }
        prop_assert_eq!(pool.len(), held.len());
    }
}
