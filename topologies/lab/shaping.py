"""Link rates and queues as tc command lines: the same HTB on both ends of every link.

    5: htb -- 5:1 the link's rate -- 5:10 default, prio 0, almost the whole rate guaranteed -- pfifo
                                  \\- 5:20 Lower Effort (DSCP 1, RFC 8622), prio 7, a trickle -- pfifo

Both leaves may borrow up to the link's rate, so either alone fills the link; when both want it, 5:10 is served first.
tc and not Open vSwitch's queues, because `set_queue` does nothing on the userspace datapath, and HTB with pfifo instead
of Mininet's own link options, because those need netem, which a kernel may lack.
"""

from __future__ import annotations

FRAME = 1514  # bytes of a full Ethernet frame as HTB counts it
LOWER_EFFORT_BPS = 8_000  # guaranteed to marked traffic: enough that its TCP connections stay alive
DSFIELD = "0x04 0xfc"  # DSCP 1 in the upper six bits of the former TOS byte


def tc_lines(interface: str, speed: int, queue: int, *, classes: bool = True) -> list[str]:
    """Lines for `tc -batch` that limit an interface to `speed` bits/s, with `queue` packets waiting per class.

    Without `classes` there is the rate and one queue only.
    """
    burst = max(2 * FRAME, speed // 8000)  # bytes: two frames, or what a fast link sends in a millisecond
    shape = f"burst {burst} cburst {burst} quantum {FRAME}"
    root = f"class add dev {interface} parent 5: classid 5:1 htb rate {speed}bit ceil {speed}bit {shape}"
    if not classes:
        return [
            f"qdisc add dev {interface} root handle 5: htb default 1",
            root,
            f"qdisc add dev {interface} parent 5:1 handle 10: pfifo limit {queue}",
        ]
    leaf = f"class add dev {interface} parent 5:1 classid"
    return [
        f"qdisc add dev {interface} root handle 5: htb default 10",
        root,
        f"{leaf} 5:10 htb rate {speed - LOWER_EFFORT_BPS}bit ceil {speed}bit prio 0 {shape}",
        f"{leaf} 5:20 htb rate {LOWER_EFFORT_BPS}bit ceil {speed}bit prio 7 {shape}",
        f"qdisc add dev {interface} parent 5:10 handle 10: pfifo limit {queue}",
        f"qdisc add dev {interface} parent 5:20 handle 20: pfifo limit {queue}",
        f"filter add dev {interface} parent 5: protocol ip prio 1 u32 match ip dsfield {DSFIELD} flowid 5:20",
    ]
