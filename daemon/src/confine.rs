//! What the process may do, however it was started: no more than it needs, and as many descriptors as it
//! can have.
//!
//! systemd does the same by the unit, and more. This holds for a daemon that something else started, and
//! for everything that it ever executes.

use std::io;

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, capability_is_in_bounding_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    },
};

/// What the daemon needs of root's rights; packaging/v6podd.service has the same.
const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN // links, addresses, rules
    .union(CapabilitySet::SYS_ADMIN) // setns(2)
    .union(CapabilitySet::SETUID) // a caller's effective uid, where the kernel has no nsfs ioctls
    .union(CapabilitySet::NET_RAW) // announcing addresses
    .union(CapabilitySet::NET_BIND_SERVICE) // port 53
    .union(CapabilitySet::SYS_PTRACE) // finding a lease again in its holder's /proc
    .union(CapabilitySet::DAC_READ_SEARCH) // the same
    .union(CapabilitySet::CHOWN); // the socket's group

/// Gives up everything else, for this thread and all that it will start: to be called before there are any.
///
/// # Errors
/// The kernel does not let it.
pub fn confine() -> io::Result<()> {
    set_no_new_privs(true)?;
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) if !NEEDED.contains(capability) => drop_from_bounding_set(capability)?,
            Ok(_) => {}
            // The last one that this kernel knows has been passed.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let has = rustix::thread::capabilities(None)?;
    let kept = has.permitted & NEEDED;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

fn drop_from_bounding_set(capability: CapabilitySet) -> io::Result<()> {
    match remove_capability_from_bounding_set(capability) {
        // Without CAP_SETPCAP the set stays as it is. It says what an execve(2) may gain, and with
        // no_new_privs that is nothing.
        Err(Errno::PERM) => Ok(()),
        other => Ok(other?),
    }
}

/// Raises the limit of open descriptors as far as it goes, and gives it.
pub fn raise_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let highest = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = match setrlimit(Resource::Nofile, highest) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // None: there is no limit.
    allowed.map_or(usize::MAX, |allowed| usize::try_from(allowed).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    /// The sets of the calling thread, as proc_pid_status(5) shows them.
    fn status(key: &str) -> u64 {
        let text = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let other = thread::spawn(|| {
            confine().unwrap();
            // Whoever runs the tests may have had less.
            for key in ["CapPrm", "CapEff", "CapBnd", "CapInh"] {
                assert_eq!(status(key) & !NEEDED.bits(), 0, "{key}");
            }
            assert_eq!(status("NoNewPrivs"), 1);
            confine().unwrap();
        });
        other.join().unwrap();
    }

    #[test]
    fn the_unit_gives_the_same() {
        let unit = include_str!("../../packaging/v6podd.service");
        let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
        let given = line.split_whitespace().map(|name| {
            CapabilitySet::from_name(&name[4..]).unwrap_or_else(|| panic!("no capability {name}"))
        });
        assert_eq!(given.collect::<CapabilitySet>(), NEEDED);
    }
}
