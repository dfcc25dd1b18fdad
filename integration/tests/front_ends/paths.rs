//! Namespaces that are out of reach, or are none.

use crate::site::{FrontEnd, Site, Streams};

#[test]
fn paths_out_of_reach() {
    let site = Site::new();
    let host = site.alice.host();
    host.sh("ip netns add roots");
    site.alice.sh("mkfifo fifo; ln -s loop loop; mkdir folder
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'");
    let long = format!("/{}", "x".repeat(5000));
    for path in [
        "/run/netns/roots",
        "/proc/1/ns/net",
        "/proc/self/ns/net",
        "/proc/self/ns/uts",
        "/proc/self/mem",
        "/proc/self/fd/0",
        "/root/secret",
        "/nonexistent",
        "/etc/passwd",
        "/dev/zero",
        "/dev/tty",
        "fifo",
        "loop",
        "folder",
        "socket",
        "0",
        "4294967296",
        long.as_str(),
    ] {
        // The hook is told of a process.
        for front_end in FrontEnd::ALL.into_iter().filter(|front_end| *front_end != FrontEnd::Hook) {
            let output = site.call_for(front_end, path, "").try_run();
            let complains = front_end.complains(&output, Streams::BOTH);
            // What cannot be opened the real slirp4netns cannot open either, and says so.
            let is_wrapper = matches!(front_end, FrontEnd::Wrapper | FrontEnd::PatchedPodman);
            assert!(complains || is_wrapper, "{front_end:?} {path}\n{output}");
        }
    }
    assert!(site.attachments().is_empty() && !site.daemon.log().contains("v6podd::audit: start"));
}
