"""Settings of the controller: frozen values with their defaults, from the section `controller:` of the YAML file.

`ryu-manager controller.app` finds the file through the environment variable HOWDAH_CONFIG; without it the defaults
hold. HOWDAH_TOPOLOGY names a topology file without any configuration file (the lab prints such a line).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from controller.conductor import Conductor
from controller.control import Policy
from controller.discovery import Discovery
from controller.elephants import Limits
from controller.policy.marking import Mark
from controller.policy.replication import Replication
from controller.topology import Fabric
from documents import strict
from documents.httpguard import Access
from documents.ranges import Range, check
from documents.topology import Spec, SpecError
from ovs_rules import replication

LOOPBACK = ("127.0.0.1", "::1", "localhost")
THIS_MACHINE = ("127.0.0.0/8", "::1")


@dataclass(frozen=True)
class Analytics:
    """Where analytics is. Without `url` the controller starts one of its own on these addresses, with this token, which
    takes sFlow from `sflow_sources` alone (addresses and prefixes; empty means any). With it `token` is the other's.
    """

    url: str | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Range(1, 65535)] = 8008
    sflow_host: str = "127.0.0.1"
    sflow_port: Annotated[int, Range(1, 65535)] = 6343
    sflow_sources: tuple[str, ...] = ()
    token: str | None = None

    def __post_init__(self) -> None:
        check(self)
        for source in self.sflow_sources:
            _network("analytics.sflow_sources", source)
        for own in fields(self):
            if self.url is not None and own.name not in ("url", "token") and getattr(self, own.name) != own.default:
                raise ValueError(
                    f"analytics.{own.name} is of an analytics that the controller starts; with 'url' it starts none"
                )

    @property
    def base(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.url or f"http://{host}:{self.port}").rstrip("/")


@dataclass(frozen=True)
class Tls:
    """Files in PEM format. Switches must show a certificate that `ca` signed."""

    key: str
    certificate: str
    ca: str


@dataclass(frozen=True)
class OpenFlow:
    """Where switches connect, and which may: `peers` are addresses and prefixes, `datapaths` ids; empty means any.

    An address that can be reached from elsewhere needs `peers` or `tls`.
    """

    listen: str = "127.0.0.1"
    peers: tuple[str, ...] = ()
    datapaths: tuple[Annotated[int, Range(0, (1 << 64) - 1)], ...] = ()
    tls: Tls | None = None

    def __post_init__(self) -> None:
        check(self)
        for peer in self.peers:
            _network("openflow.peers", peer)
        if self.listen not in LOOPBACK and not (self.peers or self.tls):
            raise ValueError(
                f"openflow listen {self.listen} can be reached from elsewhere: set 'peers' or 'tls', or use 127.0.0.1"
            )


@dataclass(frozen=True)
class ElephantSettings:
    """When a flow is an elephant and what its rules look like; see control.Policy, elephants.Limits, marking.Mark."""

    share: Annotated[float, Range(1e-6, 1)] = 0.10
    release: Annotated[float, Range(0, 1)] = 0.5
    quiet: Annotated[float, Range(0, 3600)] = 2.0
    rate: Annotated[float, Range(1, 1e15)] | None = None
    smoothing: Annotated[float, Range(0.2, 600)] = 1.0
    marking: bool = True
    steering: bool = True
    dscp: Annotated[int, Range(0, 63)] = 1
    marks: tuple[Mark, ...] = ()
    cap: Annotated[int, Range(0, 1_000_000)] = 1000
    controls_per_second: Annotated[int, Range(1, 1_000_000)] = 100
    idle_timeout: Annotated[int, Range(1, 65535)] = 5
    hold: Annotated[float, Range(0, 3600)] = 2.0

    def __post_init__(self) -> None:
        check(self)
        if self.rate is not None and self.share != ElephantSettings.share:
            raise ValueError("give 'share' or 'rate', not both")
        for at, mark in enumerate(self.marks):
            for own, known_from in ((mark.rate, self.rate), (mark.share, None if self.rate else self.share)):
                if own is not None and known_from is not None and own < known_from:
                    raise ValueError(f"marks[{at}]: below {known_from:g} no flow is an elephant, so none fits {own:g}")

    @property
    def policy(self) -> Policy:
        return Policy(
            Limits(self.share, self.release, self.quiet, self.rate),
            self.marking,
            self.steering,
            self.dscp,
            self.cap,
            self.controls_per_second,
            self.idle_timeout,
            self.hold,
            self.marks,
        )


@dataclass(frozen=True)
class Settings:
    """All settings of the controller.

    `topology` is a topology file, none means discovery; `port_speed` (bits/s) then stands in for the speeds of ports;
    `replication` lists the files of replication specs (ovs_rules/) to install. `listen` is the address of the
    northbound HTTP interface; one that can be reached from elsewhere requires a `token` for writing, which with
    `token_for_reading` is for reading too. `hosts` are names by which clients ask for this machine, beside localhost,
    its own name and its addresses.
    """

    topology: str | None = None
    port_speed: Annotated[int, Range(0, 10**15)] = 0
    analytics: Analytics = field(default_factory=Analytics)
    openflow: OpenFlow = field(default_factory=OpenFlow)
    elephants: ElephantSettings = field(default_factory=ElephantSettings)
    replication: tuple[str, ...] = ()
    listen: str = "127.0.0.1"
    token: str | None = None
    token_for_reading: bool = False
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.access()
        check(self)
        if self.listen not in LOOPBACK and not self.token:
            raise ValueError(f"listen {self.listen} can be reached from elsewhere: set 'token' too, or use 127.0.0.1")

    def access(self, *names: str) -> Access:
        """Who may ask over HTTP; `names` are the machine's own. Raises ValueError for what cannot work."""
        return Access(self.token, self.token_for_reading, (*self.hosts, *names), "controller.hosts")


def load(environment: Mapping[str, str]) -> Settings:
    """The settings that HOWDAH_CONFIG and HOWDAH_TOPOLOGY name. Raises strict.DocumentError, one line.

    File names inside the configuration are relative to it.
    """
    path = environment.get("HOWDAH_CONFIG")
    settings = Settings()
    if path:
        settings = strict.read(Path(path), Settings, section="controller")
        beside = Path(path).parent
        if settings.topology:
            settings = replace(settings, topology=str(beside / settings.topology))
        settings = replace(settings, replication=tuple(str(beside / spec) for spec in settings.replication))
        if tls := settings.openflow.tls:
            files = Tls(*(str(beside / name) for name in (tls.key, tls.certificate, tls.ca)))
            settings = replace(settings, openflow=replace(settings.openflow, tls=files))
        if "sflow_sources" not in (strict.read(Path(path), dict).get("analytics") or {}):
            settings = replace(settings, analytics=_known_senders(settings))
    if environment.get("HOWDAH_TOPOLOGY"):
        settings = replace(settings, topology=environment["HOWDAH_TOPOLOGY"])
    return settings


def _known_senders(settings: Settings) -> Analytics:
    """Who may speak OpenFlow is who sends sFlow, if it can come from elsewhere and nothing else is said."""
    wanted, peers = settings.analytics, settings.openflow.peers
    if wanted.url or wanted.sflow_host in LOOPBACK or wanted.sflow_sources or not peers:
        return wanted
    return replace(wanted, sflow_sources=(*peers, *THIS_MACHINE))


def _network(setting: str, text: str) -> None:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{setting}: {text!r} is neither an address nor a prefix") from None


def conductor(settings: Settings, key: bytes) -> Conductor:
    """The controller these settings describe: the fabric of the topology file, or discovery without one.

    `key` signs the probes of discovery. Raises ValueError, one line that names the file and what is wrong in it.
    """
    specs = [replication.read(Path(name)) for name in settings.replication]
    more = (Replication(specs),) if specs else ()
    policy = settings.elephants.policy
    if settings.topology is None:
        return Conductor(policy, discovery=Discovery(key, settings.port_speed), more=more)
    try:
        fabric = Fabric.from_spec(Spec.from_json(strict.read(Path(settings.topology), dict)))
    except SpecError as error:
        raise ValueError(f"{settings.topology}: {error}") from None
    return Conductor(policy, fabric, more=more)
