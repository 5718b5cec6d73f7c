"""Every TCP connection as a line of CSV when it has ended, long ones every ten seconds too."""

import csv
import sys
from typing import Any

from client import Script

KEYS = ["ipsource", "ipdestination", "tcpsourceport", "tcpdestinationport"]
script = Script()
lines = csv.writer(sys.stdout)
lines.writerow(["start_ms", "end_ms", "agent", "data_source", *KEYS, "bytes"])


@script.on_flow("tail_flows")
def write(record: dict[str, Any]) -> None:
    place = [record["agent"], record["dataSource"]]
    lines.writerow([record["start"], record["end"], *place, *record["flowKeys"].split(","), round(record["value"])])
    sys.stdout.flush()


script.set_flow("tail_flows", keys=KEYS, value="bytes", log=True, activeTimeout=10)
script.run()
