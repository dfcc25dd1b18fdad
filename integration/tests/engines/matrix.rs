//! Every way through every scenario: one test for each row of the table in `docs/ways-in.md`.
//!
//! A way's scenarios follow each other on one site, for making sites is what takes time. After a failure the
//! next one has a new site, so a failure is one cell's.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use crate::{
    lifecycle::{SCENARIOS, Scenario, Seen},
    site::Site,
    table::{Frame, Row, settle, settle_frame},
    way::{Absence, Kind, Way},
};

/// Each way as a test, in the order of the table.
macro_rules! ways {
    ($($test:ident $way:expr;)*) => {
        const WAYS: &[Way] = &[$($way),*];
        $(#[test]
        fn $test() {
            check($way);
        })*
    };
}

ways! {
    wrapper_of_debian_11 Way::users(Kind::Wrapper, "11");
    hook_of_debian_11 Way::users(Kind::Hook, "11");
    netavark_of_debian_11 Way::users(Kind::Netavark, "11");
    cni_of_debian_11 Way::users(Kind::Cni, "11");
    roots_cni_of_debian_11 Way::roots(Kind::Cni, "11");
    wrapper_of_debian_12 Way::users(Kind::Wrapper, "12");
    hook_of_debian_12 Way::users(Kind::Hook, "12");
    netavark_of_debian_12 Way::users(Kind::Netavark, "12");
    cni_of_debian_12 Way::users(Kind::Cni, "12");
    roots_cni_of_debian_12 Way::roots(Kind::Cni, "12");
    wrapper_of_debian_13 Way::WRAPPER_13;
    hook_of_debian_13 Way::users(Kind::Hook, "13");
    netavark_of_debian_13 Way::NETAVARK_13;
    roots_netavark_of_debian_13 Way::roots(Kind::Netavark, "13");
    cni_of_debian_13 Way::users(Kind::Cni, "13");
}

fn frame() -> Frame<'static> {
    Frame { scenarios: SCENARIOS.iter().map(|(name, _)| *name).collect(), ways: WAYS }
}

#[test]
fn the_table_has_each_way() {
    settle_frame(&frame()).unwrap_or_else(|error| panic!("{error}"));
}

/// Runs all that a way can do, and compares.
fn check(way: Way) {
    let (site, cells, mut failures) = way.absence().map_or_else(|| present(way), |why| absent(way, &why));
    let podman = site.map_or_else(|| "?".to_owned(), |site| version(&site));
    failures.extend(settle(&frame(), &Row { way, podman, cells }).err());
    let title = format!("podman of Debian {}, {}", way.release, way.name());
    assert!(failures.is_empty(), "{title}:\n\n{}", failures.join("\n\n"));
}

/// A site on which the last scenario has gone well; the cells; what has failed.
type Found = (Option<Site>, Vec<String>, Vec<String>);

fn present(way: Way) -> Found {
    let (mut site, mut cells, mut failures) = (None, Vec::new(), Vec::new());
    for (name, scenario) in SCENARIOS {
        let start = Instant::now();
        let cell = attempt(&mut site, way, *scenario).map_or_else(
            |failure| {
                failures.push(format!("{name}: {failure}"));
                "**no**".to_owned()
            },
            |seen| cell(&seen),
        );
        eprintln!("{name}: {cell}, after {:?}", start.elapsed());
        cells.push(cell);
    }
    (site, cells, failures)
}

fn absent(way: Way, absence: &Absence) -> Found {
    let site = Site::new(way);
    let tried = site.alice().try_podman(absence.attempt);
    let is_refused = !tried.success() && tried.stderr.contains(absence.refusal);
    let failure = (!is_refused).then(|| format!("podman does not say {:?}\n{tried}", absence.refusal));
    let mut cells = vec![String::new(); SCENARIOS.len()];
    cells[0] = format!("n/a: {}", absence.why);
    (Some(site), cells, failure.into_iter().collect())
}

fn attempt(site: &mut Option<Site>, way: Way, scenario: Scenario) -> Result<Seen, String> {
    let tried = catch_unwind(AssertUnwindSafe(|| scenario(site.get_or_insert_with(|| Site::new(way)))));
    tried.map_err(|panic| {
        *site = None;
        words(&*panic)
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

fn cell(seen: &Seen) -> String {
    match seen {
        Seen::Works => "yes".to_owned(),
        Seen::WorksSo(how) => format!("yes, {how}"),
        Seen::Lacks(why) => format!("n/a: {why}"),
    }
}

/// The version of the podman that is run there.
fn version(site: &Site) -> String {
    let output = site.alice().podman(["--version"]);
    output.text().rsplit(' ').next().unwrap_or_default().to_owned()
}
