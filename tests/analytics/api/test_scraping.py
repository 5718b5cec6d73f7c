"""A real Prometheus with the published job configurations (sflow-rt-api.md 11.7) scrapes analytics, which hears sFlow
over UDP, and answers the queries of a dashboard. What the values must be follows from what is sent."""

import signal
import subprocess

import httpx
import pytest

from tests.patience import PATIENCE_S
from tests.prometheus import PROMETHEUS
from tests.ryu_manager import free_ports
from tests.switch import AGENT, Switch

pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="prometheus is not there (sudo ./scripts/setup --tests fetches it)"
)
JOBS = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: sflow-rt-analyzer
    metrics_path: /prometheus/analyzer/txt
    static_configs: [{targets: ['TARGET']}]
  - job_name: sflow-rt-interfaces
    metrics_path: "/prometheus/metrics/ALL/\\
      ifinoctets,ifoutoctets,ifspeed,ifinutilization,ifoututilization,ifinerrors,ifouterrors,ifindiscards,ifoutdiscards/txt"
    static_configs: [{targets: ['TARGET']}]
    metric_relabel_configs: &instances
      - source_labels: ['agent', 'datasource']
        separator: ':'
        target_label: instance
  - job_name: sflow-rt-metrics
    metrics_path: /prometheus/metrics/ALL/ALL/txt
    static_configs: [{targets: ['TARGET']}]
    metric_relabel_configs: *instances
  - job_name: sflow-rt-src-dst-bps
    metrics_path: /app/prometheus/scripts/export.js/flows/ALL/txt
    static_configs: [{targets: ['TARGET']}]
    params:
      metric: ['sflow_src_dst_bps']
      key: ['ipsource', 'ipdestination']
      label: ['src', 'dst']
      value: ['bytes']
      scale: ['8']
      t: ['600']
      minValue: ['1']
  - job_name: sflow-rt-servers
    metrics_path: /app/prometheus/scripts/export.js/statistics/servers/ALL/max:load_one,avg:load_one/txt
    static_configs: [{targets: ['TARGET']}]
  - job_name: howdah
    static_configs: [{targets: ['TARGET']}]
"""


@pytest.fixture
def program(start):
    return start()


@pytest.fixture
def prometheus(program, tmp_path, eventually):
    """Asks a Prometheus that scrapes `program`: its query -> [(labels, value)]."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    (tmp_path / "prometheus.yml").write_text(JOBS.replace("TARGET", f"127.0.0.1:{program.port}"))
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([PROMETHEUS, *options], cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)

    def is_ready():
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return httpx.get(f"http://{address}/-/ready", timeout=PATIENCE_S).is_success
        except httpx.TransportError:
            return False

    def query(expression):
        url = f"http://{address}/api/v1/query"
        answer = httpx.get(url, params={"query": expression}, timeout=PATIENCE_S).json()
        assert answer["status"] == "success", answer
        return [(series["metric"], float(series["value"][1])) for series in answer["data"]["result"]]

    try:
        eventually(is_ready)
        yield query
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def test_a_dashboard(program, prometheus, eventually):
    switch = Switch(program.source)
    eventually(lambda: "prometheus_1" in program.http.get("/flow/json").json())  # scraped once, so it counts from now
    switch.port("swp10", 15, octets=0)
    eventually(lambda: program.http.get("/analyzer/json").json()["sFlowDatagramsReceived"] == 1)  # or both in one batch
    switch.port("swp10", 15, octets=50_000_000)
    switch.host("leaf1", load_one=1.5)
    switch.segment("10.0.1.1", "10.0.2.2", port=15, rate=1000)
    eventually(lambda: program.http.get("/analyzer/json").json()["sFlowDatagramsReceived"] == 4)

    rate = program.http.get(f"/metric/{AGENT}/15.ifinoctets/json").json()[0]["metricValue"]

    every_job = {"sflow-rt-analyzer", "sflow-rt-interfaces", "sflow-rt-metrics", "sflow-rt-src-dst-bps",
                 "sflow-rt-servers", "howdah"}  # fmt: skip
    eventually(lambda: {labels["job"] for labels, value in prometheus("up == 1")} == every_job)

    def values(expression):
        """With a comparison: those for which it holds, by a scrape that is late enough."""
        return eventually(lambda: prometheus(expression))

    ((labels, value),) = values('sflow_ifinoctets{job="sflow-rt-interfaces",ifname!~"s.*x"} * 8')
    assert (labels["instance"], labels["ifname"], labels["host"]) == (f"{AGENT}:15", "swp10", "leaf1")
    assert value == rate * 8
    ((_, value),) = values('sflow_ifinutilization{job="sflow-rt-interfaces"}')
    assert value == pytest.approx(100 * rate * 8 / 10_000_000_000)
    ((labels, value),) = values('sflow_load_one{job="sflow-rt-metrics",datasource="2.1"}')
    assert (labels["host"], labels["instance"], value) == ("leaf1", f"{AGENT}:2.1", 1.5)
    ((labels, value),) = values('sflow_max_load_one{group="servers"}')
    assert value == 1.5
    values("(sum(sflow_analyzer_agents) or sum(sflow_analyzer_agent_count)) == 1")
    ((_, value),) = values("sum(increase(sflow_analyzer_received_datagrams[5m])) >= 0")
    values("howdah_analytics_received_datagrams_total == 4")
    ((labels, value),) = values("topk(5, sflow_src_dst_bps)")
    assert (labels["src"], labels["dst"]) == ("10.0.1.1", "10.0.2.2")
    at_once = 1500 * 1000 * 8 / 600  # bits/s of the one sample as it arrives; a time constant of 600 s hardly decays
    assert at_once * 0.8 < value <= at_once * 1.001
