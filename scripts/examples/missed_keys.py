"""Which keys clients ask memcached for and do not get, every ten seconds (MISSED_S): misses per second and key."""

import os

from client import Script

script = Script()
script.set_flow("missed_keys", keys="memcachekey", value="requests", filter="memcachestatus=NOT_FOUND", n=20, t=10)


@script.every(float(os.environ.get("MISSED_S", "10")))
def report(_: float) -> None:
    for flow in script.active_flows("ALL", "missed_keys", max_flows=20, mode="sum"):
        print(f"{flow['value']:10.1f}  {flow['key']}", flush=True)


script.run()
