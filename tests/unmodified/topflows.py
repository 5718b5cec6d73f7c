"""Asks as extras/topflows.py does (sflow-rt-api.md 11.2); written after that table. URL FLOW ROWS"""

import sys
import time

import requests

url, flow, rows = sys.argv[1:]
answer = requests.get(f"{url}/flow/{flow}/json")
if answer.status_code != 200:
    sys.exit(f"no flow {flow}")
spec = answer.json()
titles = [*spec["keys"].split(","), spec["value"]]
assert spec["fs"]
print(*titles, flush=True)
while True:
    answer = requests.get(f"{url}/activeflows/ALL/{flow}/json?maxFlows={int(rows) - 2}")
    if answer.status_code != 200:
        break
    flows = answer.json()
    if not flows:
        continue  # at once, as the original
    for each in flows:
        value = int(each["value"])
        if value:
            print(*each["key"].split(","), value, flush=True)
    time.sleep(2)
