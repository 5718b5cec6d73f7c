"""Mark large TCP flows Lower Effort (RFC 8622) where they enter the network, so that small ones pass them.

Prints the command that makes the rule; MARK_BRIDGE=br0 also runs it. A rule goes by itself, two seconds after the flow.
"""

import os
import subprocess
from typing import Any

from client import Script

LARGE = 1_000_000 / 8  # bytes/s
RULE = "priority=500,idle_timeout=2,tcp,nw_src={0},nw_dst={1},tp_src={2},tp_dst={3},actions=set_field:1->ip_dscp,normal"
BRIDGE = os.environ.get("MARK_BRIDGE")
script = Script()


@script.on_event("mark_large_flows")
def mark(event: dict[str, Any]) -> None:
    command = [
        "ovs-ofctl",
        "-O",
        "OpenFlow15",
        "add-flow",
        BRIDGE or "BRIDGE",
        RULE.format(*event["flowKey"].split(",")),
    ]
    print(*command, flush=True)
    if BRIDGE:
        subprocess.run(command, check=True)


script.set_flow(
    "large_flows",
    keys="ipsource,ipdestination,tcpsourceport,tcpdestinationport",
    value="bytes",
    filter="direction=ingress&link:inputifindex=null",
    t=0.5,
)
script.set_threshold("mark_large_flows", metric="large_flows", value=LARGE, byFlow=True, timeout=2)
script.run()
