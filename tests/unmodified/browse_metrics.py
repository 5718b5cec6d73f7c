"""Polls as the page of browse-metrics does (sflow-rt-api.md 11.6); written after that table. URL AGENT STATISTIC"""

import sys
import time

import requests

url, agent, statistic = sys.argv[1:]
assert agent in requests.get(f"{url}/agents/json").json()
labels, names = {}, set()
for key, value in requests.get(f"{url}/metric/{agent}/json").json().items():
    source, _, name = key.rpartition(".")
    names.add(name)
    if name in ("vir_host_name", "host_name", "ifname"):
        labels[source] = value
assert names <= set(requests.get(f"{url}/metrics/json").json())
path = "undefined"  # what is chosen before anything was
while True:
    answer = requests.get(f"{url}/metric/{agent}/{statistic}:{path}/json", timeout=60)
    answer.raise_for_status()
    first = answer.json()[0]
    print(path, first.get("metricValue", 0), labels.get(first.get("dataSource")), first["metricN"], flush=True)
    path = "ifspeed"
    time.sleep(1)
