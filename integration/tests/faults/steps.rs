//! The steps of an attach and of a detach, as the daemon lists them: a new one is tested as soon as it is
//! there. Others in that list have tests of their own.

const SOURCE: &str = include_str!("../../../daemon/src/fault.rs");

/// The steps of one kind, `attach` or `detach`.
pub fn steps(kind: &str) -> Vec<&'static str> {
    let list = SOURCE.split_once("STEPS: &[&str] = &[").and_then(|(_, rest)| rest.split_once("];"));
    let (list, _) = list.expect("the list of steps in daemon/src/fault.rs");
    let all: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    let of_kind: Vec<_> = all.into_iter().filter(|step| step.split('.').next() == Some(kind)).collect();
    assert!(of_kind.len() >= 5, "the list of steps has another form now: {of_kind:?}");
    of_kind
}

#[test]
fn all_steps_of_the_two_kinds_are_found() {
    let listed = SOURCE.matches("    \"attach.").count() + SOURCE.matches("    \"detach.").count();
    assert_eq!(steps("attach").len() + steps("detach").len(), listed);
}
