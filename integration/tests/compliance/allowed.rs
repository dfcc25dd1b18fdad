//! All that may differ between the wrapper and the real slirp4netns: this list, and nothing else.
//!
//! What may differ also has to: a difference that is not there fails the test like one that is not listed.
//!
//! No entry of the tables is about what is the wrapper's alone: its settings (a mistake in them costs a line, and
//! `required` a start), and standard descriptors that are closed, which the wrapper, like every program in
//! Rust, opens as /dev/null.

use crate::{case::Case, site::Record};

/// Whether v6podd runs beside the wrapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It runs, and answers.
    Answered,
    /// It does not.
    Away,
}

/// One difference.
struct Difference {
    what: &'static str,
    /// Whether it is to be seen, from what was seen of the real one.
    is_due: fn(&Case, Way, &Record) -> bool,
    /// Takes it out of the wrapper's record; false if it is not there, or not as it should be.
    take: fn(&Case, &mut Record) -> bool,
}

const DIFFERENCES: [Difference; 6] = [
    Difference {
        what: "IPv6 from v6pod: the link v6pod0, as soon as tap0 is there",
        is_due: |case, way, real| is_attached(case, way) && real.iter().any(is_tap),
        take: |_, record| {
            let links = record.iter_mut().filter(|line| is_tap(line));
            links.fold(true, |all, (_, text)| match text.strip_suffix(" v6pod0") {
                Some(rest) => {
                    *text = rest.to_owned();
                    all
                }
                None => false,
            })
        },
    },
    Difference {
        what: "IPv6 from v6pod: a global address when slirp4netns says that it is ready",
        is_due: |case, way, real| is_attached(case, way) && real.iter().any(is_ready),
        take: |_, record| take(record, |line| line.0 == "global IPv6" && line.1 == "v6pod0"),
    },
    Difference {
        what: "the lease: one more descriptor, 10 or above, the write end of a pipe",
        is_due: |case, way, real| is_attached(case, way) && has(real, "descriptor"),
        take: |_, record| {
            take(record, |(kind, text)| {
                let number = text.strip_suffix(" pipe write").and_then(|number| number.parse().ok());
                kind == "descriptor" && number.is_some_and(|number: u32| number >= 10)
            })
        },
    },
    Difference {
        what: "the mark by which the wrapper knows that it has been there",
        is_due: |_, _, real| has(real, "environment"),
        take: |_, record| take(record, |line| line.0 == "environment" && line.1 == "V6POD_SHIM_PID={SELF}"),
    },
    Difference {
        what: "a line on standard error when v6podd is away",
        is_due: |case, way, _| way == Way::Away && case.asks,
        take: |_, record| take_first_error(record, AWAY),
    },
    Difference {
        what: "a line on standard error when v6podd refuses",
        is_due: |case, way, _| way == Way::Answered && case.refused.is_some(),
        take: |case, record| {
            let why = case.refused.unwrap_or_default();
            take_first_error(record, &format!("v6pod: v6podd refused: {why}{WITHOUT}"))
        },
    },
];

/// What the real one is given to be compared with the wrapper when v6podd answers: slirp4netns' own IPv6, `-6`
/// and `--outbound-addr6`, is left out then.
pub fn line_when_answered(case: &Case) -> &'static str {
    case.answered.unwrap_or(case.line)
}

const AWAY: &str = "v6pod: nothing listens on /run/v6pod/v6pod.sock: No such file or directory (os error 2) \
    (is v6podd running?); the container starts without IPv6 from v6pod";
const WITHOUT: &str = "; the container starts without IPv6 from v6pod";

fn is_attached(case: &Case, way: Way) -> bool {
    way == Way::Answered && case.asks && case.refused.is_none()
}

fn is_tap((kind, text): &(String, String)) -> bool {
    kind == "links" && text.split(' ').any(|link| link != "lo")
}

fn is_ready((kind, text): &(String, String)) -> bool {
    kind == "ready" && text == "'1'"
}

fn has(record: &Record, kind: &str) -> bool {
    record.iter().any(|line| line.0 == kind)
}

/// Takes out the first line that is meant.
fn take(record: &mut Record, is_meant: impl Fn(&(String, String)) -> bool) -> bool {
    let at = record.iter().position(is_meant);
    at.map(|at| record.remove(at)).is_some()
}

/// Takes out the first line of standard error, if it is this one.
fn take_first_error(record: &mut Record, text: &str) -> bool {
    let at = record.iter().position(|line| line.0 == "stderr");
    at.filter(|at| record[*at].1 == text).map(|at| record.remove(at)).is_some()
}

/// What differs and may not, or does not and should; empty if nothing.
pub fn compare(case: &Case, way: Way, real: &Record, mut wrapper: Record) -> String {
    let mut problems = String::new();
    let seen = wrapper.clone();
    for difference in DIFFERENCES.iter().filter(|difference| (difference.is_due)(case, way, real)) {
        if !(difference.take)(case, &mut wrapper) {
            problems += &format!("  {way:?}: not seen: {}\n", difference.what);
        }
    }
    let (real, wrapper) = (lines(real), lines(&wrapper));
    if real != wrapper {
        let gone = real.iter().filter(|line| !wrapper.contains(line)).map(|line| format!("  - {line}\n"));
        let new = wrapper.iter().filter(|line| !real.contains(line)).map(|line| format!("  + {line}\n"));
        problems += &format!("  {way:?}: of the real one (-) and of the wrapper (+)\n");
        problems.extend(gone.chain(new));
    }
    if !problems.is_empty() {
        problems += &format!("  the wrapper's record:\n    {}\n", lines(&seen).join("\n    "));
    }
    problems
}

/// The lines of a record, as people read them.
pub fn lines(record: &Record) -> Vec<String> {
    record.iter().map(|(kind, text)| format!("{kind}: {text}")).collect()
}
