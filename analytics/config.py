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

from analytics.events.log import MAX_EVENTS
from analytics.inputs.settings import CollectorSettings, prefix
from analytics.memory import Budget
from documents import strict

MAX_SOCKETS = 64


@dataclass(frozen=True)
class Settings:
    """Fixed while the process runs. Port 0 means any free port."""

    host: str = "127.0.0.1"
    """Address of the HTTP interface. Anything but loopback needs a token."""
    port: int = 8008
    sflow_host: str = CollectorSettings.host
    """Address on which sFlow is received; 0.0.0.0 or :: for switches on other machines."""
    sflow_port: int = CollectorSettings.port
    sflow_sockets: int = CollectorSettings.sockets
    """Sockets on that port, with a thread each; the kernel spreads senders over them."""
    sflow_sources: tuple[str, ...] = CollectorSettings.sources
    """Addresses and prefixes that may send sFlow; datagrams of others are counted and not read. Empty: any may send."""
    receive_buffer: int = CollectorSettings.buffer_bytes
    """Bytes asked of the kernel for each UDP socket; it may grant less (net.core.rmem_max)."""
    events: int = MAX_EVENTS
    """Events kept for clients to ask for; older ones are forgotten."""
    memory: int | None = None
    """Bytes that the process may take, shared by all that it keeps; without it a quarter of the machine's memory, or of
    the limit of its control group."""
    token: str | None = None
    """If set, PUT and DELETE need the header Authorization: Bearer <token>."""
    replay: str | None = None
    """A capture (pcap) to play instead of listening for sFlow."""

    def __post_init__(self) -> None:
        for name in ("port", "sflow_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ValueError(f"{name} {getattr(self, name)} is not between 0 and 65535")
        if self.memory is not None:
            Budget(self.memory)
        for name in ("receive_buffer", "events"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is not at least 1")
        if not 1 <= self.sflow_sockets <= MAX_SOCKETS:
            raise ValueError(f"sflow_sockets {self.sflow_sockets} is not between 1 and {MAX_SOCKETS}")
        for source in self.sflow_sources:
            try:
                prefix(source)
            except ValueError:
                raise ValueError(
                    f"sflow_sources: {source!r} is neither an address nor a prefix such as 192.0.2.0/24"
                ) from None
        if self.token is not None and (not self.token.isascii() or not self.token.isprintable() or " " in self.token):
            raise ValueError("token must be printable ASCII without spaces")
        if self.token == "":
            raise ValueError("token is empty")
        if not is_loopback(self.host) and self.token is None:
            raise ValueError(
                f"host {self.host} can be reached from elsewhere: writing then needs a token; "
                "set 'token' in the section 'analytics' of the configuration file, or use 127.0.0.1"
            )


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
