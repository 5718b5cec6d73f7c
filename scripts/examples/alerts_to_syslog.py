"""Every port that is used to 80 % and more, to a syslog collector (SYSLOG_HOST, SYSLOG_PORT)."""

import os
from typing import Any

from client import Script, syslog

HOST, PORT = os.environ.get("SYSLOG_HOST", "127.0.0.1"), int(os.environ.get("SYSLOG_PORT", "514"))
WARNING = 4
script = Script()


@script.on_event("busy_in", "busy_out")
def alert(event: dict[str, Any]) -> None:
    [name] = script.metric(event["agent"], f"any:{event['dataSource']}.ifname")
    port = name.get("metricValue", event["dataSource"])
    message = {"alert": event["thresholdID"], "agent": event["agent"], "port": port, "percent": round(event["value"])}
    syslog(HOST, message, port=PORT, severity=WARNING)


for direction in ("in", "out"):
    script.set_threshold(f"busy_{direction}", metric=f"if{direction}utilization", value=80, timeout=60)
script.run()
