"""Settings: defaults, file names, and one line for what is wrong."""

import json

import pytest

from controller import config
from controller.config import Settings
from controller.topology import Fabric
from topologies.leafspine import leafspine

SPEC = leafspine(2, 2, 2, 5)
FABRIC = Fabric.from_spec(SPEC)


def test_without_files_the_defaults_hold():
    assert config.load({}) == Settings()
    assert config.conductor(Settings(), b"key").discovery is not None


def test_file_names_are_relative_to_the_configuration(tmp_path):
    (tmp_path / "fabric.json").write_text(json.dumps(SPEC.to_json()))
    (tmp_path / "copies.yaml").write_text("udp_port: 1\ncollector: {address: 10.0.1.1}\ncopies: [{port: 2}]")
    (tmp_path / "howdah.yaml").write_text(
        "controller: {topology: fabric.json, replication: [copies.yaml], elephants: {dscp: 8, share: 0.2}}\n"
    )
    settings = config.load({"HOWDAH_CONFIG": str(tmp_path / "howdah.yaml")})
    conductor = config.conductor(settings, b"key")
    assert conductor.fabric.switches == FABRIC.switches
    assert (conductor.policy.dscp, conductor.policy.limits.share) == (8, 0.2)
    assert conductor.more[0].specs[0].udp_port == 1


@pytest.mark.parametrize(
    "text, named",
    [
        ("controller: {elephants: {dscp: 64}}", "dscp 64"),
        ("controller: {elephants: {share: 0}}", "share 0"),
        ("controller: {elephants: {idle_timeout: 0}}", "idle_timeout 0"),
        ("controller: {elephants: {cap: -1}}", "cap -1"),
        ("controller: {elephants: {marks: [{dscp: 8, sorce: 10.0.0.0/8}]}}", "unknown key 'sorce'.*mean 'source'"),
        ("controller: {elephants: {marks: [{dscp: 64}]}}", r"marks\[0\].dscp"),
        ("controller: {elephants: {marks: [{source: 10.0.0.0/8}]}}", r"'dscp' is missing in .*marks\[0\]"),
        ("controller: {elephants: {marks: [{dscp: 8, protocol: icmp}]}}", r"marks\[0\].protocol"),
        ("controller: {elephants: {marks: [{dscp: 8, source: 10.0.0.0/33}]}}", "source '10.0.0.0/33' is neither"),
        ("controller: {elephants: {marks: [{dscp: 8, share: 0.5, rate: 1e6}]}}", "'share' or 'rate', not both"),
        ("controller: {elephants: {marks: [{dscp: 8, share: 0.05}]}}", r"marks\[0\]: below 0.1 no flow is an elephant"),
        ("controller: {elephants: {rate: 1e6, marks: [{dscp: 8, rate: 5e5}]}}", r"marks\[0\]: below 1e\+06"),
        ("controller: {elephants: {rate: 1e6, share: 0.2}}", "'share' or 'rate', not both"),
        ("controller: {analytics: {prt: 1}}", "did you mean 'port'"),
        (
            "controller: {analytics: {url: 'http://a:8008', sflow_port: 6344}}",
            "analytics.sflow_port is of an analytics",
        ),
        ("controller: {analytics: {sflow_sources: [10.0.0.1], url: 'http://a'}}", "analytics.sflow_sources is of"),
        ("controler: {}", "controler"),
        ("controller: {token_for_reading: true}", "token_for_reading needs a token"),
        ("controller: {token: ''}", "token is empty"),
        ("controller: {hosts: ['http://fabric']}", "hosts: 'http://fabric' is not a host's name"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(tmp_path, text, named):
    path = tmp_path / "howdah.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=named) as caught:
        config.load({"HOWDAH_CONFIG": str(path)})
    assert str(caught.value).startswith(f"{path}:1: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("controller: {openflow: {peers: [192.0.2.0/24]}, analytics: {sflow_host: 0.0.0.0}}",
         ("192.0.2.0/24", "127.0.0.0/8", "::1")),
        ("controller: {openflow: {peers: [192.0.2.0/24]}}", ()),
        ("controller: {analytics: {sflow_host: 0.0.0.0}}", ()),
        ("controller: {openflow: {peers: [192.0.2.1]}, analytics: {sflow_host: 0.0.0.0, sflow_sources: [192.0.2.9]}}",
         ("192.0.2.9",)),
        ("controller: {openflow: {peers: [192.0.2.1]}, analytics: {sflow_host: 0.0.0.0}}\n"
         "analytics: {sflow_sources: [192.0.2.9]}", ()),
        ("controller: {openflow: {peers: [192.0.2.1]}, analytics: {url: 'http://a', token: t}}", ()),
    ],
    ids=["peers", "loopback", "no peers", "said here", "said to analytics", "analytics elsewhere"],
)  # fmt: skip
def test_sflow_is_taken_from_the_switches_that_may_connect(tmp_path, text, sources):
    (tmp_path / "howdah.yaml").write_text(text)
    settings = config.load({"HOWDAH_CONFIG": str(tmp_path / "howdah.yaml")})
    assert settings.analytics.sflow_sources == sources


def test_an_sflow_source_that_is_no_address_is_refused_by_name():
    with pytest.raises(ValueError, match=r"analytics.sflow_sources: 'switch7' is neither an address nor a prefix"):
        config.Analytics(sflow_sources=("switch7",))
