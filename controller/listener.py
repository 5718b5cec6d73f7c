"""The listeners for OpenFlow and HTTP: who may connect, how many at once, and what their messages may look like.

They take the place of Ryu's, which listen on every address, accept without end, end when descriptors run out, and parse
whatever comes. Here

1. only `peers` (addresses and prefixes) are accepted, and with `tls` only those that show a certificate of its CA;
2. a connection has HANDSHAKE_S to become a switch (TLS, hello, features, ports). When MAX_HANDSHAKES are under way, the
   oldest of them is closed for the next, so silent ones keep no switch out;
3. switches may take half of the process's descriptors, and the process asks for as many as it may have. When they run
   out all the same, the oldest connection that is no switch yet is closed, and accepting goes on;
4. every message is checked (messagecheck.py) before it is parsed; a malformed one costs its connection, and so does
   one port more than MAX_PORTS;
5. HTTP: at most MAX_HTTP_CONNECTIONS, each quiet for at most HTTP_TIMEOUT_S, the one silent for longest closed for the
   next; an answer has to be taken within ANSWER_S. Requests of any application of Ryu's are looked at by
   documents.httpguard first, and their bodies are bounded;
6. a switch that answers no echo for about 15 s is disconnected, so a dead connection does not keep its datapath id;
7. sending never waits for a switch: what it does not read is queued, and MAX_QUEUED messages end its connection.

What goes wrong is a fault: counted by kind, logged at a limited rate. Cost: one green thread and one descriptor a
connection, as in Ryu.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import resource
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

import eventlet.hubs
import eventlet.wsgi
import ryu.base.app_manager  # noqa: F401  first: it and ryu.controller import each other
from ryu import cfg
from ryu.app import wsgi
from ryu.controller import controller as ryu_controller
from ryu.controller import ofp_handler
from ryu.controller.handler import MAIN_DISPATCHER
from ryu.lib import hub
from ryu.ofproto import ofproto_parser
from ryu.ofproto.ofproto_common import OFP_TCP_PORT

from controller.acceptor import Acceptor, close
from controller.config import OpenFlow, Tls
from controller.messagecheck import MalformedMessage, is_wanted
from documents.faults import Faults
from documents.httpguard import ANSWER_HEADERS, Access, Refusal, joined

HANDSHAKE_S, HANDSHAKE_PATIENCE_S = 10.0, 1.0
MAX_HANDSHAKES = 256
MAX_DESCRIPTORS = 65536
ECHO_PERIOD_S, ECHOS_MISSED = 5.0, 2
MAX_HTTP_CONNECTIONS = 256
HTTP_TIMEOUT_S, HTTP_PATIENCE_S = 10.0, 0.2
ANSWER_S = 30.0
MAX_PORTS = 10_000
MAX_QUEUED = 100_000  # messages; a switch of a fabric of thousands of hosts gets thousands when it connects
MAX_BODY = 64 * 1024  # bytes; a policy has about a hundred
REPLACED_OPTIONS = ("ctl_privkey", "ctl_cert", "ca_certs", "ofp_ssl_listen_port", "ofp_switch_address_list")

Note = Callable[[str, Exception], None]  # kind and error of a fault


def tls_context(tls: Tls) -> ssl.SSLContext:
    """A server's context that wants a certificate from its peers. Raises ValueError, one line, for an unusable file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"openflow tls ({tls.certificate}, {tls.key}, {tls.ca}): {error}") from None
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class Connection(ryu_controller.Datapath):  # type: ignore[misc]
    """A connection that speaks OpenFlow. `on_switch` is called once, when it has become a switch."""

    def __init__(self, stream: Any, address: tuple[Any, ...], on_switch: Callable[[], None]) -> None:
        self._on_switch = on_switch
        super().__init__(stream, address)
        self.send_q = hub.Queue(MAX_QUEUED)
        self._send_q_sem = hub.BoundedSemaphore(MAX_QUEUED)

    def set_state(self, state: str) -> None:
        if state == MAIN_DISPATCHER:
            self._on_switch()
        super().set_state(state)

    def send(self, buf: bytes, close_socket: bool = False) -> bool:
        """Queues a message; False if the connection ends, as it does when the queue is full."""
        if self.send_q is not None and self.send_q.full():
            self.close()
            return False
        return bool(super().send(buf, close_socket))


class Listener:
    """Accepts switches for as long as it is called."""

    def __init__(self, settings: OpenFlow, port: int, note: Note) -> None:
        self._address, self._note = (settings.listen, port), note
        self._peers = [ipaddress.ip_network(peer, strict=False) for peer in settings.peers]
        self._tls = tls_context(settings.tls) if settings.tls else None
        self._switches = 0
        self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def __call__(self) -> None:
        server = hub.StreamServer(self._address, self._serve).server
        acceptor = Acceptor(server, MAX_HANDSHAKES, HANDSHAKE_PATIENCE_S, self._note, self._refusal)
        while True:
            hub.spawn(self._serve, acceptor, *acceptor.accept())

    def _refusal(self, host: str) -> str | None:
        address = ipaddress.ip_address(host.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if self._peers and not any(address in network for network in self._peers):
            return f"{host} is not among the peers of controller.openflow"
        if self._switches >= self._most:
            return f"{host}: {self._switches} switches are connected, no more fit into the limit of open files"
        return None

    def _serve(self, acceptor: Acceptor, stream: Any, address: tuple[Any, ...]) -> None:
        is_switch = False

        def on_switch() -> None:
            nonlocal is_switch
            is_switch = True
            self._switches += 1
            acceptor.release(stream)
            deadline.cancel()

        def give_up() -> None:
            if acceptor.release(stream):
                self._note("handshake", TimeoutError(f"{address[0]} was no switch after {HANDSHAKE_S:g} s"))
                close(stream)

        deadline = eventlet.hubs.get_hub().schedule_call_global(HANDSHAKE_S, give_up)
        try:
            secured = self._tls.wrap_socket(stream, server_side=True) if self._tls else stream
            with contextlib.closing(secured), contextlib.closing(Connection(secured, address, on_switch)) as connection:
                connection.serve()
        except (OSError, MalformedMessage) as error:
            self._note("connection", type(error)(f"{address[0]}: {error}"))
        except Exception as error:  # of a handler of Ryu's: it costs the connection, as before
            self._note("connection", error)
        finally:
            deadline.cancel()
            acceptor.release(stream)
            self._switches -= is_switch
            stream.close()


def _checked(note: Note) -> Callable[..., Any]:
    """What Ryu shall parse messages with. Raises MalformedMessage, which ends the connection.

    A message that is well formed and that Ryu's parser does not understand all the same is a fault and is passed over:
    switches may know fields that Ryu does not.
    """

    def parse(datapath: Any, version: int, kind: int, length: int, xid: int, message: bytes) -> Any:
        message = bytes(message)
        if not is_wanted(message):
            return None
        if len(getattr(datapath, "ports", ())) > MAX_PORTS:
            raise MalformedMessage(f"more than {MAX_PORTS} ports")
        parser = ofproto_parser._MSG_PARSERS.get(version)
        if parser is None:
            raise MalformedMessage(f"hello of OpenFlow version {version}")
        try:
            return parser(datapath, version, kind, length, xid, message)
        except Exception as error:
            note("message", error)
            return None

    return parse


class HttpConnection(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """A connection of the HTTP server. While it is answered, it is not closed for another."""

    def __init__(self, acceptor: Acceptor, *of_server: Any) -> None:
        self._acceptor = acceptor
        super().__init__(*of_server)

    def handle_one_response(self) -> None:
        deadline = eventlet.hubs.get_hub().schedule_call_global(ANSWER_S, close, self.connection)
        if not self.headers.get("Content-Length"):  # a body may never come
            self._acceptor.release(self.connection)
        try:
            super().handle_one_response()
        finally:
            deadline.cancel()
            self._acceptor.keep(self.connection)


def guarded(application: Any, access: Access, note: Note) -> Callable[..., Any]:
    """The same WSGI application for requests that `access` lets in and that have a bounded body. A bug in it is a fault
    and the answer 500; every answer carries ANSWER_HEADERS."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, *ANSWER_HEADERS.items()], *more)

        def refuse(refusal: Refusal) -> list[bytes]:
            headers = [("Content-Type", "application/json"), *refusal.headers.items()]
            begin(f"{refusal.status} {HTTPStatus(refusal.status).phrase}", headers)
            return [json.dumps({"error": refusal.reason}).encode()]

        target = f"{environ['RAW_PATH_INFO']}?{environ.get('QUERY_STRING', '')}".encode("latin-1")
        headers = joined([(name.encode("latin-1"), value.encode("latin-1")) for name, value in environ["headers_raw"]])
        refusal = access.refusal(environ["REQUEST_METHOD"], target, headers) or _too_large(headers)
        if refusal:
            return refuse(refusal)
        try:
            return application(environ, begin)
        except Exception as error:
            note("request", error)
            return refuse(Refusal(500, "a fault of the controller; see its log"))

    return answer


def _too_large(headers: Mapping[str, str]) -> Refusal | None:
    if "transfer-encoding" in headers:
        return Refusal(411, "a request needs a Content-Length")
    if int(headers.get("content-length", 0)) > MAX_BODY:  # digits: the parser took it
        return Refusal(413, f"the body has more than {MAX_BODY} bytes")
    return None


class HttpServer:
    """Ryu's HTTP server with bounds; made by Ryu when it starts."""

    def __init__(self, application: Any, access: Access, note: Note) -> None:
        self._application, self._note = guarded(application, access, note), note

    def __call__(self) -> None:
        server = hub.StreamServer((cfg.CONF.wsapi_host, cfg.CONF.wsapi_port), None).server
        acceptor = Acceptor(server, MAX_HTTP_CONNECTIONS, HTTP_PATIENCE_S, self._note)
        eventlet.wsgi.server(
            acceptor,
            self._application,
            logging.getLogger("ryu.lib.hub"),
            protocol=partial(HttpConnection, acceptor),
            max_size=2 * MAX_HTTP_CONNECTIONS,
            socket_timeout=HTTP_TIMEOUT_S,
            debug=False,
        )


def install(settings: OpenFlow, access: Access, faults: Faults, clock: Callable[[], float]) -> None:
    """Have Ryu use these listeners and checks; to be called before Ryu starts its applications.

    Ryu's own option for the address wins over the settings. Raises ValueError, one line, for what cannot work and for
    options of Ryu that this listener takes the place of.
    """

    def note(listener: str, what: str, error: Exception) -> None:
        faults.note(f"{listener} {what}", error, clock())

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        most = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    for name in REPLACED_OPTIONS:
        if getattr(cfg.CONF, name):
            raise ValueError(f"--{name.replace('_', '-')} is not served; see controller.openflow in the configuration")
    cfg.CONF.set_default("ofp_listen_host", settings.listen)
    cfg.CONF.set_default("echo_request_interval", ECHO_PERIOD_S)
    cfg.CONF.set_default("maximum_unreplied_echo_requests", ECHOS_MISSED)
    settings = replace(settings, listen=cfg.CONF.ofp_listen_host)
    openflow, http = partial(note, "openflow"), partial(note, "http")
    listener = Listener(settings, cfg.CONF.ofp_tcp_listen_port or OFP_TCP_PORT, openflow)
    ofproto_parser.msg = _checked(openflow)
    ofp_handler.OpenFlowController = lambda: listener
    wsgi.WSGIServer = lambda application: HttpServer(application, access, http)
