//! Standard streams that are closed, full, endless, or something else.

use crate::site::{FrontEnd, Site, Streams};

/// A redirection, and the streams that can be looked at then.
const CASES: [(&str, Streams); 11] = [
    ("", Streams::BOTH),
    ("<&-", Streams::BOTH),
    (">&-", Streams { stdout: false, stderr: true }),
    ("2>&-", Streams { stdout: true, stderr: false }),
    ("<&- >&- 2>&-", Streams { stdout: false, stderr: false }),
    (">/dev/full", Streams { stdout: false, stderr: true }),
    ("2>/dev/full", Streams { stdout: true, stderr: false }),
    ("</dev/zero", Streams::BOTH),
    ("</", Streams::BOTH),
    ("0>/dev/null", Streams::BOTH),
    ("0<>/dev/full >&0 2>&0", Streams { stdout: false, stderr: false }),
];

#[test]
fn streams_of_any_kind() {
    let site = Site::new();
    for (redirect, streams) in CASES {
        // The shell's own standard input is the good one.
        let spoils_input = redirect.starts_with(['<', '0']);
        for front_end in FrontEnd::ALL {
            let output = site.call_for(front_end, &site.path(), redirect).try_run();
            let complains = front_end.complains(&output, streams);
            let has_to = spoils_input && FrontEnd::READERS.contains(&front_end);
            let answers = matches!(front_end, FrontEnd::Cni | FrontEnd::Netavark | FrontEnd::Attach);
            let cannot_answer = answers && redirect.contains("/dev/full") && !streams.stdout;
            assert_eq!(complains, has_to || cannot_answer, "{front_end:?} {redirect}\n{output}");
            site.clean();
        }
    }
}
