"""Prometheus text: what the app's paths of sFlow-RT promise (sflow-rt-api.md 5.9, 11.7), on the real engine."""

import math
import re
import subprocess

import pytest
from hypothesis import given, strategies

from analytics.api import prometheus, scraped
from analytics.flows.flowquery import ActiveFlow
from analytics.flows.keys import InvalidDefinition
from analytics.turns import finished
from documents.httpguard import Access
from tests.analytics.api.application import AGENT, LENGTH, RATE, Client, counter_sample, flow_sample
from tests.analytics.examples import wire
from tests.prometheus import PROMTOOL

SFLOW_RT_SAYS_SO = "^sflow_analyzer_.*(should have|should not have)"  # names that are as they are
FLOWS = "/app/prometheus/scripts/export.js/flows/ALL/txt?metric=top&key=ipsource,ipdestination&value=bytes"
ONE = LENGTH * RATE / 15  # bytes/s of one sample at the scrape's default t
LINE = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')


def samples(text):
    """The lines that are no comments; every metric must have been told in HELP and TYPE lines before."""
    told, found = [], []
    for line in text.splitlines():
        if line.startswith("#"):
            told.append(tuple(line.split(" ")[1:3]))
            continue
        name = LINE.fullmatch(line)[1]
        assert {("HELP", name), ("TYPE", name)} <= set(told), line
        found.append(line)
    assert len(set(told)) == len(told), "one HELP and one TYPE line each"
    return found


def series(text):
    """Line without its value -> value."""
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in samples(text)}


# Flows


def test_the_first_scrape_defines_what_later_ones_find(client):
    assert samples(client.text(FLOWS)) == []
    assert client.get("/flow/prometheus_1/json") == {
        "keys": "ipsource,ipdestination", "value": "bytes", "fs": "_SEP_", "n": 10, "t": 15, "log": False,
        "flowStart": False, "activeTimeout": 60, "dropped": False,
    }  # fmt: skip
    client.feed(flow_sample(4), flow_sample(4), flow_sample(5, source="10.0.0.2"))
    assert series(client.text(FLOWS)) == {
        'top{ipsource="10.0.0.1",ipdestination="10.0.0.3"}': pytest.approx(2 * ONE),
        'top{ipsource="10.0.0.2",ipdestination="10.0.0.3"}': pytest.approx(ONE),
    }
    assert client.text(FLOWS).splitlines()[:2] == [
        "# HELP top bytes by ipsource,ipdestination",
        "# TYPE top gauge",
    ]


def test_a_definition_goes_300_s_after_its_last_scrape(client):
    client.text(FLOWS)
    client.now += 200
    client.text(FLOWS)
    for later, names in ((300, {"prometheus_1"}), (1, set())):
        client.now += later
        client.app.state.api.scraped.expire(client.now)
        assert set(client.get("/flow/json")) == names
    client.text(FLOWS)
    assert set(client.get("/flow/json")) == {"prometheus_2"}


def test_scrapes_that_count_the_same_share_a_definition(client):
    client.text(FLOWS)
    of_an_agent = FLOWS.replace("metric=top", "metric=other").replace("/ALL/", f"/{AGENT}/")
    client.text(of_an_agent + "&label=a,b&scale=8&maxFlows=1")
    assert set(client.get("/flow/json")) == {"prometheus_1"}
    client.text(FLOWS + "&filter=ipprotocol=6")
    assert set(client.get("/flow/json")) == {"prometheus_1", "prometheus_2"}


def test_a_definition_that_somebody_removed_is_made_again(client):
    client.text(FLOWS)
    assert client.request("DELETE", "/flow/prometheus_1/json").status_code == 204
    client.text(FLOWS)
    assert len(client.get("/flow/json")) == 1


def test_a_name_that_somebody_took_is_left_alone(client):
    client.put("/flow/prometheus_1/json", {"value": "frames"})
    client.text(FLOWS)
    assert client.get("/flow/prometheus_1/json")["value"] == "frames"
    assert client.get("/flow/prometheus_2/json")["value"] == "bytes"


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("&label=src,dst", {'top{src="10.0.0.1",dst="10.0.0.3"}': 2 * ONE, 'top{src="10.0.0.2",dst="10.0.0.3"}': ONE}),
        ("&label=src&label=dst&maxFlows=1", {'top{src="10.0.0.1",dst="10.0.0.3"}': 2 * ONE}),
        ("&label=,dst&maxFlows=1", {'top{ipsource="10.0.0.1",dst="10.0.0.3"}': 2 * ONE}),
        ("&label=a-b&maxFlows=1", {'top{a_b="10.0.0.1",ipdestination="10.0.0.3"}': 2 * ONE}),
        ("&scale=8&maxFlows=1", {'top{ipsource="10.0.0.1",ipdestination="10.0.0.3"}': 16 * ONE}),
        (f"&minValue={1.5 * ONE}", {'top{ipsource="10.0.0.1",ipdestination="10.0.0.3"}': 2 * ONE}),
        ("&aggMode=sum&maxFlows=1", {'top{ipsource="10.0.0.1",ipdestination="10.0.0.3"}': 3 * ONE}),
        ("&t=30&maxFlows=1", {'top{ipsource="10.0.0.1",ipdestination="10.0.0.3"}': ONE}),
        ("&filter=ipsource=10.0.0.2", {'top{ipsource="10.0.0.2",ipdestination="10.0.0.3"}': ONE}),
        ("&filter=ipsource=10.0.0.2|ipprotocol=17&filter=ipprotocol=6",
         {'top{ipsource="10.0.0.2",ipdestination="10.0.0.3"}': ONE}),
        ("&key=ipprotocol&value=frames&unknown=x",
         {'top{ipsource="10.0.0.1",ipdestination="10.0.0.3",ipprotocol="6"}': 2 * ONE,
          'top{ipsource="10.0.0.2",ipdestination="10.0.0.3",ipprotocol="6"}': ONE}),
        ("&dropped=true", {}),
    ],
)  # fmt: skip
def test_parameters(client, more, found):
    """10.0.0.1 has two samples on port 4 and one on port 6, 10.0.0.2 one on port 5."""
    client.text(FLOWS + more)
    client.feed(flow_sample(4), flow_sample(4), flow_sample(5, source="10.0.0.2"), flow_sample(6))
    assert series(client.text(FLOWS + more)) == {line: pytest.approx(value) for line, value in found.items()}


def test_drops_are_added_up_over_data_sources(client):
    """Each counts once, whatever the sampling rate."""
    path = "/app/prometheus/scripts/export.js/flows/ALL/txt?metric=drops&key=reason&value=frames&dropped=true&t=2"
    client.text(path)
    header = wire.sampled_header(wire.tcp_frame(), 64)
    client.feed(wire.discard(header, source=(0, 4), reason=258), wire.discard(header, source=(0, 5), reason=258))
    assert list(series(client.text(path)).values()) == [pytest.approx(2 / 2)]
    assert list(series(client.text(path + "&aggMode=max")).values()) == [pytest.approx(1 / 2)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("key=ipsource&value=bytes", "query parameter 'metric' is missing"),
        ("metric=m&value=bytes", "query parameter 'key' is missing"),
        ("metric=m&key=&value=bytes", "query parameter 'key' is missing"),
        ("metric=m&key=ipsource", "query parameter 'value' is missing"),
        ("metric=m&key=nonsense&value=bytes", "nonsense"),
        ("metric=m&key=ipsource&value=nonsense", "nonsense"),
        ("metric=m&key=ipsource&value=bytes&filter=ipsource", "ipsource"),
        ("metric=m&key=ipsource&value=bytes&label=a,b", "label 'b' is for no key: there are 1"),
        ("metric=m&key=ipsource,ipdestination&value=bytes&label=a,a", "label 'a' is that of two keys"),
        ("metric=m&key=ipsource&value=bytes&label=__name__", "label '__name__' is reserved by Prometheus"),
        ("metric=m&key=ipsource&value=bytes&n=many", "n 'many' is not a number"),
        ("metric=m&key=ipsource&value=bytes&aggMode=most", "aggMode 'most' is none of"),
        ("metric=m&key=ipsource&value=bytes&dropped=perhaps", "dropped 'perhaps' is neither true nor false"),
        ("metric=m&key=ipsource&value=bytes&scale=nan", "scale 'nan' is not a number"),
    ],
)
def test_refusals_name_the_word(client, query, said):
    status, text = client.refusal("GET", f"/app/prometheus/scripts/export.js/flows/ALL/txt?{query}")
    assert status == 400
    assert said in text
    assert client.get("/flow/json") == {}


def test_scraped_definitions_are_bounded_in_number(client):
    for number in range(scraped.MOST):
        client.text(FLOWS + f"&t={number + 1}")
    assert client.refusal("GET", FLOWS + "&t=500") == (
        503, "32 flows are scraped already; one goes 300 s after its last scrape",
    )  # fmt: skip
    client.text(FLOWS + "&t=1")
    client.now += 301
    client.app.state.api.scraped.expire(client.now)
    client.text(FLOWS + "&t=500")


def test_it_needs_the_token_that_writing_needs():
    client = Client(Access(token="secret"))
    assert client.request("GET", FLOWS).status_code == 401
    assert client.request("GET", FLOWS, headers={"Authorization": "Bearer secret"}).status_code == 200
    assert client.request("GET", "/prometheus/analyzer/txt").status_code == 200


def test_no_picture_in_a_page_of_another_site_defines_anything(client):
    refused = client.refusal("GET", FLOWS, headers={"Sec-Fetch-Site": "cross-site"})
    assert refused == (403, "a page of another site may not define what is scraped")
    assert client.get("/flow/json") == {}
    assert client.request("GET", FLOWS, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@given(strategies.lists(strategies.tuples(strategies.text(), strategies.text()), unique=True))
def test_whatever_a_key_holds_its_line_can_be_read(keys):
    flows = [ActiveFlow("_SEP_".join(fields), 1.5, AGENT, "4", 1) for fields in keys]
    text = finished(prometheus.flows_text("m", ("a", "b"), "_SEP_", 2, flows, "what\nis\\counted"))
    lines = text[:-1].split("\n")
    assert lines[:2] == ["# HELP m what\\nis\\\\counted", "# TYPE m gauge"]
    read = set()
    for line in lines[2:]:
        values = re.findall(r'="((?:[^"\\]|\\.)*)"', LINE.fullmatch(line)[2])
        read.add("_SEP_".join(re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), v) for v in values))
    assert read == {flow.key for flow in flows}


@given(strategies.dictionaries(
    strategies.sampled_from(["metric", "key", "value", "label", "filter"]),
    strategies.lists(strategies.text(alphabet="ab,:[]\\_-9é \n"), max_size=3),
))  # fmt: skip
def test_any_query_is_read_or_refused(query):
    try:
        scrape = scraped.parse(query, 10, 15, False)
    except InvalidDefinition as fault:
        assert str(fault)
        return
    for name in (scrape.metric, *scrape.labels):
        assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)
    assert len(set(scrape.labels)) == len(scrape.labels)


# Metrics and statistics


def test_a_metric_with_a_statistic_is_one_line_over_the_data_sources(client):
    """It used to be taken for the plain metric."""
    client.feed(counter_sample(4, speed=10_000_000), counter_sample(5, speed=30_000_000))
    found = series(client.text("/prometheus/metrics/ALL/ifspeed,max:ifspeed,avg:ifspeed,max:4.ifspeed/txt"))
    assert found == {
        f'sflow_ifspeed{{agent="{AGENT}",datasource="4",ifname="s1-eth4"}}': 10_000_000,
        f'sflow_ifspeed{{agent="{AGENT}",datasource="5",ifname="s1-eth5"}}': 30_000_000,
        'sflow_max_ifspeed{agent="ALL"}': 30_000_000,
        'sflow_avg_ifspeed{agent="ALL"}': 20_000_000,
        'sflow_max_4_ifspeed{agent="ALL"}': 10_000_000,
    }
    assert series(client.text("/prometheus/metrics/ALL/max:ifspeed/txt?ifname=s1-eth4")) == {
        'sflow_max_ifspeed{agent="ALL"}': 10_000_000
    }


def test_statistics_of_a_group(client):
    client.feed(counter_sample(4, speed=10_000_000), counter_sample(5, speed=30_000_000))
    names = "max:ifspeed,avg:ifspeed,ifspeed,any:ifname,none"
    path = f"/app/prometheus/scripts/export.js/statistics/my%20group/ALL/{names}/txt"
    assert series(client.text(path)) == {
        'sflow_max_ifspeed{group="my group"}': 30_000_000,
        'sflow_avg_ifspeed{group="my group"}': 20_000_000,
        'sflow_ifspeed{group="my group"}': 30_000_000,
    }
    assert series(client.text(path + "?ifname=s1-eth4"))['sflow_max_ifspeed{group="my group"}'] == 10_000_000


def test_stale_metrics_are_left_out(client):
    client.feed(counter_sample(4))
    assert samples(client.text("/prometheus/metrics/ALL/ifspeed/txt"))
    client.now += 3600
    assert samples(client.text("/prometheus/metrics/ALL/ifspeed/txt")) == []


def test_rates_say_so(client):
    client.feed(counter_sample(4))
    client.now += 10
    client.feed(counter_sample(4, in_octets=1000, sequence=2))
    text = client.text("/prometheus/metrics/ALL/ifinoctets,ifspeed/txt")
    assert "# HELP sflow_ifinoctets ifinoctets per second\n# TYPE sflow_ifinoctets gauge\n" in text
    assert "# HELP sflow_ifspeed ifspeed\n# TYPE sflow_ifspeed gauge\n" in text


# The engine about itself


def test_the_names_that_dashboards_query_and_those_that_prometheus_recommends(client):
    client.feed(flow_sample(4))
    theirs = series(client.text("/prometheus/analyzer/txt"))
    ours = series(client.text("/metrics"))
    for name in ("received_bytes", "received_datagrams", "discarded_datagrams"):
        assert theirs[f"sflow_analyzer_{name}"] == ours[f"howdah_analytics_{name}_total"]
    for name in ("heap_used_bytes", "cpu_load_process"):
        assert math.isfinite(theirs[f"sflow_analyzer_{name}"] + ours[f"howdah_analytics_{name}"])
    assert theirs["sflow_analyzer_received_datagrams"] == theirs["sflow_analyzer_agents"] == 1
    assert theirs["sflow_analyzer_agent_count"] == ours["howdah_analytics_agents"] == 1
    assert ours['howdah_analytics_build_info{version="0.1.0 (core test)"}'] == 1
    assert not {name for name in ours if not name.startswith("howdah_analytics_")}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not there (sudo ./scripts/setup --tests fetches it)")
@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/prometheus/analyzer/txt",
        "/prometheus/metrics/ALL/ALL/txt",
        FLOWS,
        "/app/prometheus/scripts/export.js/statistics/g/ALL/max:ifspeed/txt",
    ],
)
def test_promtool_reads_it(client, path):
    client.text(FLOWS)
    client.feed(flow_sample(4), counter_sample(4))
    text = client.text(path)
    assert samples(text)
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    remarks = (checked.stdout + checked.stderr).splitlines()
    assert [line for line in remarks if not re.search(SFLOW_RT_SAYS_SO, line)] == []
