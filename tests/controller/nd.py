"""Neighbour Discovery frames as hosts send them (RFC 4861), written by Ryu's packet library."""

from ipaddress import IPv6Address

from ryu.lib.packet import ethernet, icmpv6, ipv6, packet

ALL_NODES = "ff02::1"


def solicitation(mac, source, target, *, option=True, **more):
    """Who has `target`? A source of `::` is that of duplicate address detection (RFC 4862)."""
    group = "ff02::1:ff" + IPv6Address(target).exploded[-7:]
    ours = icmpv6.nd_option_sla(hw_src=mac) if option and source != "::" else None
    body = icmpv6.icmpv6(icmpv6.ND_NEIGHBOR_SOLICIT, data=icmpv6.nd_neighbor(dst=target, option=ours))
    return frame(mac, _multicast(group), source, group, body, **more)


def advertisement(mac, address, to_mac=None, to=ALL_NODES, *, said=None, **more):
    """`address` is at `said`, by default the sender's MAC; without `to_mac` unsolicited, to all."""
    ours = icmpv6.nd_option_tla(hw_src=said or mac)
    body = icmpv6.icmpv6(icmpv6.ND_NEIGHBOR_ADVERT, data=icmpv6.nd_neighbor(res=3, dst=address, option=ours))
    return frame(mac, to_mac or _multicast(to), address, to, body, **more)


def frame(mac, destination, source, to, body, hops=255):
    made = packet.Packet()
    made.add_protocol(ethernet.ethernet(destination, mac, 0x86DD))
    made.add_protocol(ipv6.ipv6(src=source, dst=to, nxt=58, hop_limit=hops))
    made.add_protocol(body)
    made.serialize()
    return bytes(made.data)


def _multicast(address):
    """RFC 2464, section 7."""
    return "33:33:" + IPv6Address(address).packed[-4:].hex(":")
