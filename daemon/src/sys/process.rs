//! Other processes: proc(5).

use std::fs;

/// Whether a process has ended, though its parent may not have been told, or one of its threads may still hang in
/// the kernel and keep its descriptors open.
pub fn is_dead(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may have parentheses of its own.
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    state.is_empty() || state.starts_with(['Z', 'X'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_waited_for_is_dead_all_the_same() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!is_dead(own));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let gone = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let id = rustix::process::WaitId::Pid(rustix::process::Pid::from_raw(pid).unwrap());
        rustix::process::waitid(id, gone).unwrap();
        assert!(is_dead(pid), "a zombie");
        child.wait().unwrap();
        assert!(is_dead(pid), "gone");
    }
}
