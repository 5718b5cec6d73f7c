"""ARP frames as hosts send them."""

from controller import frames


def request(sender_mac, sender_ip, target_ip):
    arp = frames.Arp(frames.REQUEST, sender_mac, sender_ip, "00:00:00:00:00:00", target_ip)
    return frames.write_arp(arp, frames.BROADCAST)


def reply(sender_mac, sender_ip, target_mac, target_ip):
    return frames.write_arp(frames.Arp(frames.REPLY, sender_mac, sender_ip, target_mac, target_ip), target_mac)
