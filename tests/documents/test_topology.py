"""Every generated fabric is regular, unique in its names and numbers, and survives its JSON; faults are named."""

import json
from collections import Counter

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents.topology import Spec, SpecError
from topologies.fattree import fattree
from topologies.leafspine import leafspine

LEAFSPINES = st.builds(
    leafspine,
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(0, 5),
    st.floats(0.1, 1000),
    st.sampled_from(["", "t-"]),
)
FATTREES = st.builds(fattree, st.sampled_from([2, 4, 6]), st.floats(0.1, 1000))
FABRICS = st.one_of(LEAFSPINES, FATTREES)


@given(FABRICS)
def test_json_both_ways(spec):
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@given(FABRICS)
def test_names_and_numbers_are_unique(spec):
    interfaces = [port.name for _, port in spec.ports()]
    assert max(Counter(interfaces).values()) == 1
    assert all(len(name) <= 15 for name in interfaces)
    for values in (
        [node.dpid for node in spec.nodes.values()],
        [node.agent for node in spec.nodes.values()],
        [host.mac for host in spec.hosts.values()],
        [address for host in spec.hosts.values() for address in host.addresses],
    ):
        assert len(set(values)) == len(values)


def graph(spec):
    return networkx.Graph((link.node1, link.node2) for link in spec.links.values())


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 5))
def test_leafspine_is_a_full_mesh(spines, leaves, hosts):
    spec = leafspine(spines, leaves, hosts)
    assert len(spec.links) == spines * leaves
    assert len(spec.hosts) == leaves * hosts
    degrees = dict(graph(spec).degree)
    assert {degrees[f"leaf{n}"] for n in range(1, leaves + 1)} == {spines}
    assert {degrees[f"spine{n}"] for n in range(1, spines + 1)} == {leaves}


@pytest.mark.parametrize("k", [2, 4, 6, 8])
def test_fattree_is_regular_and_rearrangeable(k):
    spec = fattree(k)
    roles = Counter(node.role for node in spec.nodes.values())
    assert roles == {"edge": k * k / 2, "aggregation": k * k / 2, "core": k * k / 4}
    assert len(spec.hosts) == k**3 / 4
    assert len(spec.links) == k**3 / 2
    hosts = Counter(host.node for host in spec.hosts.values())
    assert {degree + hosts[name] for name, degree in graph(spec).degree} == {k}
    if k > 2:
        paths = list(networkx.all_shortest_paths(graph(spec), "edge1", f"edge{k * k // 2}"))
        assert len(paths) == k * k / 4 and {len(path) for path in paths} == {5}


def test_numbers_of_the_contract():
    document = leafspine(4, 4, 4, 5).to_json()
    assert document["nodes"]["leaf1"] == {
        "agent": "10.254.0.1",
        "dpid": "0000000000000001",
        "tags": {"role": "leaf"},
        "ports": {f"leaf1-eth{n}": {"ofport": n, "speed": 5_000_000} for n in range(1, 9)},
    }
    assert document["nodes"]["spine2"]["dpid"] == "0000000000000102"
    assert document["links"]["leaf1-spine1"] == {
        "node1": "leaf1", "port1": "leaf1-eth5", "node2": "spine1", "port2": "spine1-eth1",
    }  # fmt: skip
    assert document["hosts"]["h6"] == {
        "node": "leaf2", "port": "leaf2-eth2", "mac": "00:04:00:00:02:02", "ipv4": "10.0.2.2",
    }  # fmt: skip
    assert Spec.from_json(document).hosts["h16"].ipv4 == "10.0.4.4"


def test_ifindexes_are_filled_in_as_strings():
    spec = leafspine(1, 2, 1).with_ifindexes({"leaf2-eth1": 17})
    assert spec.nodes["leaf2"].ports["leaf2-eth1"].ifindex == "17"
    assert spec.nodes["leaf1"].ports["leaf1-eth1"].ifindex is None


def test_unknown_fields_are_kept():
    document = leafspine(1, 1, 1).to_json()
    document["note"] = "ours"
    document["nodes"]["leaf1"]["rack"] = 7
    document["links"]["leaf1-spine1"]["fibre"] = "A"
    document["hosts"]["h1"]["os"] = "linux"
    document["nodes"]["leaf1"]["ports"]["leaf1-eth1"]["lane"] = 3
    assert Spec.from_json(document).to_json() == document


def test_hosts_may_share_a_port_and_have_several_addresses():
    document = leafspine(1, 1, 1).to_json()
    one = document["hosts"]["h1"]
    document["hosts"]["vm"] = one | {"mac": "02:00:00:00:00:07", "ipv4": "10.0.1.7",
                                     "addresses": ["2001:DB8:0::7", "10.0.1.7", "10.0.1.8"]}  # fmt: skip
    document["hosts"]["v6"] = {"node": "leaf1", "port": "leaf1-eth1", "mac": "02:00:00:00:00:08",
                               "addresses": ["fe80::8"]}  # fmt: skip
    spec = Spec.from_json(document)
    assert spec.hosts["h1"].addresses == ("10.0.1.1",)
    assert spec.hosts["vm"].addresses == ("2001:db8::7", "10.0.1.7", "10.0.1.8")
    assert (spec.hosts["vm"].ipv4, spec.hosts["v6"].ipv4) == ("10.0.1.7", None)
    written = spec.to_json()["hosts"]
    assert written["h1"] == one
    assert written["vm"]["ipv4"] == "10.0.1.7"
    assert Spec.from_json(spec.to_json()) == spec


def test_a_document_of_sflow_rt_needs_neither_dpid_nor_ofport():
    spec = Spec.from_json({"nodes": {"sw": {"agent": "10.0.0.1", "ports": {"swp1": {"ifindex": 3}}}}})
    assert spec.nodes["sw"].ports["swp1"].ifindex == "3"
    assert spec.nodes["sw"].dpid is None


def changed(path, value):
    """A small fabric's document with one place changed; value None removes it."""
    document = leafspine(2, 2, 1).to_json()
    at = document
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (7, "topology: expected an object, found 7"),
        ({"nodes": []}, "topology: 'nodes' must be an object, found []"),
        ({"nodes": {"a": 3}}, "node 'a': expected an object, found 3"),
        (changed(["nodes", "leaf1", "dpid"], "1"), "node 'leaf1': dpid '1' is not 16 lower-case hex digits"),
        (
            changed(["nodes", "leaf2", "dpid"], "0000000000000001"),
            "node 'leaf2': dpid 0000000000000001 is already that of node 'leaf1'",
        ),
        (changed(["nodes", "leaf1", "agent"], "leaf1"), "node 'leaf1': agent 'leaf1' is not an IP address"),
        (
            changed(["nodes", "leaf1", "ports", "leaf1-eth2"], {"ofport": 1}),
            "node 'leaf1' port 'leaf1-eth2': ofport 1 is already that of node 'leaf1' port 'leaf1-eth1'",
        ),
        (
            changed(["nodes", "leaf1", "ports", "leaf1-eth2"], {"ofport": True}),
            "node 'leaf1' port 'leaf1-eth2': 'ofport' must be a whole number, found True",
        ),
        (
            changed(["nodes", "leaf1", "ports", "leaf1-eth2"], {"ofport": 0}),
            "node 'leaf1' port 'leaf1-eth2': ofport 0 is not within 1..4294967040",
        ),
        (
            changed(["nodes", "leaf1", "ports", "leaf1-eth2"], {"speed": 0}),
            "node 'leaf1' port 'leaf1-eth2': speed 0 is not a positive number of bits/s",
        ),
        (
            changed(["nodes", "leaf1", "ports", "leaf1-eth2"], {"ifindex": "eth"}),
            "node 'leaf1' port 'leaf1-eth2': ifindex 'eth' is not a number",
        ),
        (changed(["links", "leaf1-spine1", "node2"], None), "link 'leaf1-spine1': no 'node2'"),
        (changed(["links", "leaf1-spine1", "node2"], "spine9"), "link 'leaf1-spine1': no node 'spine9'"),
        (
            changed(["links", "leaf1-spine1", "port2"], "eth9"),
            "link 'leaf1-spine1': node 'spine1' has no port 'eth9'",
        ),
        (
            changed(["hosts", "h1", "port"], "leaf1-eth2"),
            "host 'h1': port leaf1 leaf1-eth2 is already that of link 'leaf1-spine1'",
        ),
        (changed(["hosts", "h1", "mac"], "1:2"), "host 'h1': mac '1:2' is not of the form 00:04:00:00:01:01"),
        (
            changed(["hosts", "h1", "mac"], "ff:ff:ff:ff:ff:ff"),
            "host 'h1': mac 'ff:ff:ff:ff:ff:ff' is not that of one station",
        ),
        (
            changed(["hosts", "h1", "addresses"], ["2001:db8::g"]),
            "host 'h1': address '2001:db8::g' is not an IP address",
        ),
        (
            changed(["hosts", "h1", "addresses"], ["2001:db8::1", 7]),
            "host 'h1': 'addresses' must hold strings, found 7",
        ),
        (changed(["hosts", "h1", "addresses"], "10.0.1.1"), "host 'h1': 'addresses' must be a list, found '10.0.1.1'"),
        (changed(["hosts", "h1", "ipv4"], "224.0.0.1"), "host 'h1': address '224.0.0.1' is not that of one host"),
        (
            changed(["hosts", "h2", "addresses"], ["fe80::1", "10.0.1.1"]),
            "host 'h2': address 10.0.1.1 is already that of host 'h1'",
        ),
        (changed(["hosts", "h1", "ipv4"], "::1"), "host 'h1': ipv4 '::1' is not an IPv4 address"),
        (changed(["hosts", "h2", "ipv4"], "10.0.1.1"), "host 'h2': address 10.0.1.1 is already that of host 'h1'"),
    ],
)
def test_a_bad_document_is_refused_with_its_name(document, complaint):
    with pytest.raises(SpecError) as refusal:
        Spec.from_json(document)
    assert str(refusal.value) == complaint


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "nodes",
                        "links",
                        "hosts",
                        "ports",
                        "agent",
                        "dpid",
                        "ofport",
                        "ifindex",
                        "node1",
                        "addresses",
                        "x",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(document):
    try:
        spec = Spec.from_json(document)
    except SpecError as refusal:
        assert "\n" not in str(refusal)
    else:
        assert Spec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: leafspine(0, 4, 4), "spines: 0 is not within 1..255"),
        (lambda: leafspine(4, 4, 300), "hosts per leaf: 300 is not within 0..254"),
        (lambda: leafspine(link_mbps=0), "link rate: 0 Mbit/s is not within 0.1..100000"),
        (
            lambda: leafspine(prefix="library-"),
            "node 'library-leaf1': interface name 'library-leaf1-eth8' exceeds Linux's 15 characters",
        ),
        (lambda: fattree(3), "k: 3 is odd; a fat-tree halves its ports"),
        (lambda: fattree(18), "k: 18 is not within 2..16"),
    ],
)  # fmt: skip
def test_impossible_fabrics_are_refused(build, complaint):
    with pytest.raises(SpecError) as refusal:
        build()
    assert str(refusal.value) == complaint
