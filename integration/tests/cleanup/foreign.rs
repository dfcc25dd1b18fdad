//! What is not v6podd's stays, whatever it is called.

use crate::site::{Site, tells};

#[test]
fn a_bridge_that_was_only_joined_stays_as_it_was() {
    let make = "ip link add br0 address 02:00:00:00:00:01 type bridge mcast_snooping 0
        ip link add port0 type veth peer name far0
        ip link set port0 master br0; ip link set port0 up; ip link set far0 up
        ip addr add 2001:db8:1::1/80 dev br0 nodad; ip link set br0 up
        ip neigh add 2001:db8:1::7 lladdr 02:00:00:00:00:07 dev br0 nud permanent
        echo 0 >/proc/sys/net/ipv6/conf/br0/accept_dad";
    let site = Site::after(make);
    let configuration = format!("[network.default]\nprefix = \"{}\"\njoin = \"br0\"\n", site.link.prefix);
    for lost in ["true", "rm -r /var/lib/v6pod/attachments"] {
        let mut daemon = site.host.daemon(&configuration);
        let (namespace, attached) = site.attach("web");
        daemon.stop();
        site.host.sh(lost);
        let done = site.done(&[]);
        assert!(tells(&done, &format!("neighbour {} removed", attached.address)), "{lost}: {done:?}");
        assert!(
            !tells(&done, "bridge ") && !tells(&done, "neighbour 2001:db8:1::7 removed"),
            "{lost}: {done:?}"
        );
        namespace.kill();
        site.is_as_before();
    }
}

#[test]
fn links_with_names_like_ours_stay() {
    let make = "ip link add v6p0123456789ab type bridge
        ip link add v6pabcdefabcdef type veth peer name v6pother
        ip link add v6b-lan type bridge
        ip link add v6pod1 type bridge
        ip link set v6pod1 alias v6podd
        ip link set v6pother master v6b-lan
        nft add table inet v6pods; nft add table bridge others";
    let site = Site::after(make);
    let mut daemon = site.daemon("");
    let (namespace, attached) = site.attach("web");
    daemon.stop();
    let done = site.done(&[]);
    let links: Vec<_> =
        done.iter().filter(|line| line.starts_with("link ") || line.starts_with("bridge ")).collect();
    assert_eq!(links, [&format!("link v6p{} removed", attached.id), "bridge v6pod0 removed"]);
    namespace.kill();
    site.is_as_before();
}

#[test]
fn somebody_elses_files_stay() {
    let site = Site::new();
    let mut daemon = site.daemon("");
    daemon.stop();
    site.host.write("/var/lib/v6pod/notes.txt", "the administrator's");
    site.host.write("/run/v6pod/other", "");
    site.cleanup(&["--purge"]);
    assert_eq!(site.state(), ["notes.txt"]);
    assert!(site.has("/run/v6pod/other"));
}
