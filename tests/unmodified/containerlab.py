"""Asks as containerlab's largeflows.py, logflows.py and topflows.py do (sflow-rt-api.md 11.5); written after it.

URL largeflows|logflows|topflows"""

import json
import signal
import sys
import time

import requests

url, which = sys.argv[1:]
flow = {"keys": "ipsource,ipdestination,tcpsourceport,tcpdestinationport", "value": "bytes"}
threshold = {"metric": "tcp", "value": 125000.0, "byFlow": True}
flow_url, threshold_url = f"{url}/flow/tcp/json", f"{url}/threshold/large-tcp/json"


def end(*_):
    if which == "largeflows":
        requests.delete(threshold_url)
    requests.delete(flow_url)
    sys.exit(0)


def follow(path, cursor):
    last = -1
    while True:
        answer = requests.get(f"{url}{path}{last}")
        if answer.status_code != 200:
            break
        found = answer.json()
        if not found:
            continue
        last = found[0][cursor]
        found.reverse()
        for each in found:
            print(json.dumps(each), flush=True)


signal.signal(signal.SIGINT, end)
if which == "largeflows":
    requests.put(flow_url, data=json.dumps(flow))
    requests.put(threshold_url, data=json.dumps(threshold))
    follow("/events/json?thresholdID=large-tcp&maxEvents=10&timeout=60&eventID=", "eventID")
elif which == "logflows":
    requests.put(flow_url, data=json.dumps(flow | {"activeTimeout": 10, "log": True}))
    follow("/flows/json?name=tcp&maxFlows=10&timeout=60&flowID=", "flowID")
else:
    requests.put(flow_url, data=json.dumps(flow))
    while True:
        for each in requests.get(f"{url}/activeflows/ALL/tcp/json").json():
            print(json.dumps(each), flush=True)
        time.sleep(1)
