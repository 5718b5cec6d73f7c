"""Asks as elephant.py does (sflow-rt-api.md 11.5); written after that table. URL"""

import json
import sys

import requests

url = sys.argv[1]
flow = {"keys": "link:inputifindex,ipsource,ipdestination", "value": "bytes"}
requests.put(f"{url}/flow/pair/json", data=json.dumps(flow))
threshold = {"metric": "pair", "value": 125000, "byFlow": True, "timeout": 1}
requests.put(f"{url}/threshold/elephant/json", data=json.dumps(threshold))
events = f"{url}/events/json?thresholdID=elephant&maxEvents=10&timeout=60&eventID="
last = -1
while True:
    answer = requests.get(events + str(last))
    if answer.status_code != 200:
        break
    found = answer.json()
    if not found:
        continue
    last = found[0]["eventID"]
    found.reverse()
    for event in found:
        print(event["flowKey"], flush=True)
