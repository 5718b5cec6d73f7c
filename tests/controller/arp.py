"""ARP frames as hosts send them (RFC 826)."""

from ipaddress import IPv4Address

BROADCAST = "ff:ff:ff:ff:ff:ff"
UNKNOWN = "00:00:00:00:00:00"
REQUEST, REPLY = 1, 2


def request(sender_mac, sender_ip, target_ip):
    return frame(BROADCAST, REQUEST, sender_mac, sender_ip, UNKNOWN, target_ip)


def reply(sender_mac, sender_ip, target_mac, target_ip):
    return frame(target_mac, REPLY, sender_mac, sender_ip, target_mac, target_ip)


def frame(destination, operation, sender_mac, sender_ip, target_mac, target_ip):
    """An Ethernet/IPv4 ARP packet in a frame to the MAC `destination`."""
    ethernet = _mac(destination) + _mac(sender_mac) + bytes.fromhex("0806")
    head = bytes.fromhex("0001 0800 06 04") + operation.to_bytes(2, "big")
    sender, target = (
        _mac(mac) + IPv4Address(ip).packed for mac, ip in ((sender_mac, sender_ip), (target_mac, target_ip))
    )
    return ethernet + head + sender + target


def _mac(text):
    return bytes.fromhex(text.replace(":", ""))
