"""Settings of the analytics process: frozen values from one YAML file and the command line. Defaults are those of the
parts; only the HTTP address has its default here.

The file is the one that controller and analytics share; the section `analytics:` is ours, its keys are the fields of
Settings. An option on the command line wins over the file, the file over the default. A key that does not exist is
refused with its line by documents.strict; a value that cannot work is refused here, by name.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from analytics.events.log import MAX_EVENTS, MAX_FLOWS
from analytics.inputs.settings import CollectorSettings, prefix
from analytics.memory import LEAST
from documents import strict
from documents.httpguard import Access
from documents.ranges import Port, Range, check


@dataclass(frozen=True)
class Settings:
    """Fixed while the process runs. Port 0 means any free port."""

    host: str = "127.0.0.1"
    """Address of the HTTP interface. Anything but loopback needs a token."""
    port: Port = 8008
    sflow_host: str = CollectorSettings.host
    """Address on which sFlow is received; 0.0.0.0 or :: for switches on other machines."""
    sflow_port: Port = CollectorSettings.port
    sflow_sockets: Annotated[int, Range(1, 64)] = CollectorSettings.sockets
    """Sockets on that port, with a thread each; the kernel spreads senders over them."""
    sflow_sources: tuple[str, ...] = CollectorSettings.sources
    """Addresses and prefixes that may send sFlow; datagrams of others are counted and not read. Empty: any may send."""
    receive_buffer: Annotated[int, Range(1, (1 << 31) - 1)] = CollectorSettings.buffer_bytes
    """Bytes asked of the kernel for each UDP socket; it may grant less (net.core.rmem_max)."""
    events: Annotated[int, Range(1, 1_000_000)] = MAX_EVENTS
    """Events kept for clients to ask for; older ones are forgotten."""
    flow_records: Annotated[int, Range(1, 1_000_000)] = MAX_FLOWS
    """Flow records kept for clients to ask for; older ones are forgotten."""
    memory: Annotated[int, Range(LEAST, 1 << 50)] | None = None
    """Bytes that the process may take, shared by all that it keeps; without it a quarter of the machine's memory, or of
    the limit of its control group."""
    token: str | None = None
    """If set, PUT and DELETE need the header Authorization: Bearer <token>."""
    token_for_reading: bool = False
    """If set, GET needs it too."""
    hosts: tuple[str, ...] = ()
    """Names by which clients ask for this machine, beside localhost, its own name and its addresses."""
    cors_origins: tuple[str, ...] = ()
    """Other sites whose pages may ask, such as https://dashboard.example:3000; they need the token too."""
    geo_country: str | None = None
    """A database of MaxMind's format that says in which country an address is: the key function `country`."""
    geo_asn: str | None = None
    """One that says to which autonomous system it belongs: `asn`."""
    oui: str | None = None
    """A file of vendors by MAC address, IEEE's oui.csv or oui.txt: `oui`."""
    dns: bool = False
    """Whether names of addresses are asked of the system's resolver: `dns`."""
    replay: str | None = None
    """A capture (pcap, pcapng) to play instead of listening for sFlow; its sFlow goes to sflow_port (0: any)."""
    replay_speed: Annotated[float, Range(0, 1000)] = 1.0
    """Seconds of the capture in one of ours; 0: as fast as can be. Rates stay those of the capture."""
    replay_loop: bool = False
    """Play it again and again."""
    state: str | None = None
    """Directory in which definitions, thresholds, groups, maps and topology are kept over restarts. Without it nothing
    is."""
    user: str | None = None
    """Whom root becomes once all is open: without it howdah, or nobody where that user does not exist. root stays."""

    def __post_init__(self) -> None:
        check(self)
        if self.replay is None and (self.replay_speed != 1.0 or self.replay_loop):
            raise ValueError("replay_speed and replay_loop need replay, the capture to play")
        for source in self.sflow_sources:
            try:
                prefix(source)
            except ValueError:
                raise ValueError(
                    f"sflow_sources: {source!r} is neither an address nor a prefix such as 192.0.2.0/24"
                ) from None
        self.access()
        if not is_loopback(self.host) and self.token is None:
            raise ValueError(
                f"host {self.host} can be reached from elsewhere: writing then needs a token; "
                "set 'token' in the section 'analytics' of the configuration file, or use 127.0.0.1"
            )

    def access(self, *names: str) -> Access:
        """Who may ask over HTTP; `names` are the machine's own. ValueError for what cannot work."""
        return Access(self.token, self.token_for_reading, (*self.hosts, *names), "analytics.hosts", self.cors_origins)


def load(path: Path | None = None, **options: object) -> Settings:
    """The settings of a configuration file (or the defaults), with the options that are not None put over them.

    Raises ValueError with one line: strict.DocumentError for the file, plain ValueError for an option.
    """
    settings = strict.read(path, Settings, section="analytics") if path else Settings()
    given = {name: value for name, value in options.items() if value is not None}
    return dataclasses.replace(settings, **given)  # type: ignore[arg-type]


def is_loopback(host: str) -> bool:
    """Only this machine can reach the address. A name other than localhost may resolve to anything, so it does not
    count."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
