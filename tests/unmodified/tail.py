"""Asks as extras/tail_flows.py and tail_log.py do (sflow-rt-api.md 11.3); written after that table. URL flows|events"""

import sys

import requests

url, which = sys.argv[1:]
most, cursor, fields = {
    "flows": ("maxFlows", "flowID", "flowID name flowKeys value start end agent dataSource"),
    "events": ("maxEvents", "eventID", "eventID timestamp thresholdID metric threshold value agent dataSource"),
}[which]
strings = {"name", "flowKeys", "agent", "dataSource", "thresholdID", "metric"}
last = -1
while True:
    answer = requests.get(f"{url}/{which}/json?{most}=10&timeout=60&{cursor}={last}")
    if answer.status_code != 200:
        break
    found = answer.json()
    if not found:
        continue
    last = found[0][cursor]
    found.reverse()
    for each in found:
        words = [each[field] if field in strings else str(each[field]) for field in fields.split()]
        print(",".join(words), flush=True)  # which takes strings only
