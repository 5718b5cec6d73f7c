"""The Ryu application: `ryu-manager controller.app`. A shim: it turns events into values, hands them to the conductor
with the time, and executes what comes back. Nothing is decided here.

    OpenFlow events ----\\                      /---- flow mods, group mods, packet outs, each batch with a barrier
    feed of analytics ---> conductor (values) ->
    HTTP requests ------/                      \\---- JSON

Green threads, one per row of the table in `start`. What goes wrong in a thread or in a handler is a fault of that kind
(documents/faults.py): counted, logged at a limited rate, shown in GET /v1/status; the thread goes on.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

from ryu import cfg
from ryu.app.wsgi import ControllerBase, Response, WSGIApplication, route
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub

from controller import config, discovery, hosts, listener, openflow
from controller.commands import Command, Complain, Emit, Send
from controller.conductor import Conductor
from controller.feed import FLOW, Feed, Unavailable
from controller.flow import in_turns
from controller.load import Meter
from controller.pipeline import RuleKind, kind_of
from controller.reconcile import Change, DropRule, PutRule, describe
from controller.rest import Answer, Health, Northbound
from controller.sessions import Session, Sessions, TooMuch
from controller.supervisor import AnalyticsHung, Supervisor
from controller.view import Definitions
from documents.faults import Faults
from documents.printable import guard_logs, printable

OFP_PORT = 6653  # Ryu listens there unless its options name another
COUNTER_PERIOD = 1.0
POLL_PERIOD = 1.0
UNSETTLED_PERIOD = 0.1  # while an elephant's path, or its arrival on a new one, is not yet seen
SUPERVISE_PERIOD = 0.2
LIVENESS_PERIOD = 1.0
RETRY_PERIOD = 0.5
AT_ONCE = 100  # flows, of a thousand events, that are decided about before other green threads have their turn
# Analytics that does not answer yet is no fault within this many seconds of the controller's own start.
START_UP_S = 10.0

App = TypeVar("App", bound="Howdah")

_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Seconds since the epoch by a clock that never steps: the system's, as it was when this program started."""
    return _EPOCH + time.monotonic()


def on(event: type, *dispatchers: str) -> Callable[[Callable[[App, Any], None]], Callable[[App, Any], None]]:
    """Ryu's set_ev_cls; what the handler raises is a fault of the kind "OpenFlow <event>"."""
    kind = f"OpenFlow {event.__name__.removeprefix('EventOFP')}"

    def decorate(handler: Callable[[App, Any], None]) -> Callable[[App, Any], None]:
        @functools.wraps(handler)
        def guarded(app: App, event: Any) -> None:
            try:
                handler(app, event)
            except TooMuch as error:
                app.disconnect(event.msg.datapath, error)
            except Exception as error:
                app.faults.note(kind, error, now())

        set_ev_cls(event, list(dispatchers))(guarded)
        return guarded

    return decorate


def _begin(faults: Faults) -> tuple[config.Settings, Conductor]:
    """The settings and the controller they describe; ends the program with one line if it cannot run with them."""
    guard_logs()
    try:
        settings = config.load(os.environ)
        conductor = config.conductor(settings, secrets.token_bytes(32))
        listener.install(settings.openflow, settings.access(socket.gethostname()), faults, now)
    except ValueError as error:
        sys.exit(printable(f"howdah: {error}"))
    cfg.CONF.set_default("wsapi_host", settings.listen)
    _check_free("HTTP", "--wsapi-port", cfg.CONF.wsapi_host, cfg.CONF.wsapi_port)
    _check_free("OpenFlow", "--ofp-tcp-listen-port", cfg.CONF.ofp_listen_host, cfg.CONF.ofp_tcp_listen_port or OFP_PORT)
    return settings, conductor


def _check_free(what: str, option: str, host: str, port: int) -> None:
    """Ends the program with one line if Ryu, which would end in a traceback later, cannot listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            sys.exit(f"howdah: cannot listen for {what} on {host or '*'} port {port} ({option}): {error.strerror}")


def _interrupt_this_thread() -> None:
    """Lets Ctrl-C arrive in this green thread, the main one, where Ryu waits for it. Python raises it in the one that
    runs when the signal comes, which it would end without ending the program."""
    main = hub.getcurrent()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: hub.spawn(main.throw, KeyboardInterrupt))


class Howdah(app_manager.RyuApp):
    """See the module."""

    OFP_VERSIONS: ClassVar = [openflow.OFP_VERSION]
    _CONTEXTS: ClassVar = {"wsgi": WSGIApplication}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.faults = Faults(self.logger)
        self.settings, self.conductor = _begin(self.faults)
        self.meter = Meter()
        self.health = Health(analytics=self.settings.analytics.base)
        self.northbound = Northbound(self.conductor, self.meter, self.health, self.faults)
        self.feed = Feed(self.settings.analytics.base, self.settings.analytics.token)
        self.supervisor = None if self.settings.analytics.url else Supervisor(self.settings.analytics)
        self.sessions = Sessions()
        self._defined: Definitions | None = None
        self._polled = 0.0
        self._began = now()
        kwargs["wsgi"].register(NorthboundController, {"app": self})
        logging.getLogger("ryu.lib.hub").setLevel(logging.WARNING)  # a line per HTTP request buries what matters

    def start(self) -> None:
        super().start()
        _interrupt_this_thread()
        work: list[tuple[str, Callable[[], None], float]] = [
            ("event poll", self.poll_events, 0.0),
            ("flow poll", self.poll_flows, UNSETTLED_PERIOD),
            ("counter poll", self.poll_counters, COUNTER_PERIOD),
            ("tick", self.tick, discovery.PROBE_PERIOD),
            ("host questions", self.ask, hosts.ASK_PERIOD),
        ]
        if self.supervisor:
            work.append(("supervisor", self.supervise, SUPERVISE_PERIOD))
            work.append(("analytics liveness", self.supervisor.ask, LIVENESS_PERIOD))
        self.threads += [hub.spawn(self._repeat, *row) for row in work]

    def stop(self) -> None:
        self.is_active = False  # so that the end of analytics is no fault
        if self.supervisor:
            self.supervisor.stop()
        super().stop()

    def _repeat(self, kind: str, what: Callable[[], None], period: float) -> None:
        while self.is_active:
            try:
                what()
            except Unavailable as error:
                self._lost(error)
                hub.sleep(RETRY_PERIOD)
            except Exception as error:
                self.faults.note(kind, error, now())
                hub.sleep(RETRY_PERIOD)
            hub.sleep(period)

    # Analytics

    def _define(self) -> None:
        """Puts topology and definitions where analytics lacks them: at first, after its restart, when they changed."""
        wanted, before = self.conductor.definitions(), self._defined
        if wanted is before:
            return
        self.feed.publish(wanted.fabric.to_spec(wanted.fabric.hosts).to_json())
        if before is None or wanted.elephants != before.elephants:
            self.feed.define(wanted.thresholds, self.settings.elephants.smoothing, wanted.separation, wanted.switches)
            self.conductor.rely_on_tests(self.feed.makes_tests)
        self._defined = wanted

    def _lost(self, error: Unavailable) -> None:
        """Everything is put again when analytics answers; until then forwarding stays as it is."""
        at = now()
        if self.is_active and (self.health.analytics_alive or at - self._began > START_UP_S):
            self.faults.note("analytics connection", error, at)
        self._defined = None
        self.health.analytics_alive = False

    def poll_events(self) -> None:
        if self._defined is None:
            hub.sleep(RETRY_PERIOD)
            return
        began = None
        for seen in in_turns(self.feed.events(), AT_ONCE):
            if began is not None:
                hub.sleep(now() - began)  # others get as much time as these
            began = now()
            self.execute(self.conductor.observed(seen, began, complete=False))

    def poll_flows(self) -> None:
        """Polls every port's flows: once a second, and more often while something is about to show."""
        if now() - self._polled < POLL_PERIOD and not self.conductor.unsettled(now()):
            return
        self._define()
        if self.conductor.definitions().ports:
            self.execute(self.conductor.ports_reported(self.feed.ports(), now()))
        self._polled = at = now()
        seen = self.feed.flows(at)
        self._answered(at)
        self.execute(self.conductor.observed(seen, at, complete=True))

    def _answered(self, at: float) -> None:
        if not self.health.analytics_alive:
            self.health.analytics_alive = True
            self.conductor.resumed(at)
            self.logger.info("analytics at %s answers; flow %s is defined", self.feed.base, FLOW)

    def supervise(self) -> None:
        assert self.supervisor
        try:
            line = self.supervisor.supervise(now())
        except AnalyticsHung as error:
            self.faults.note("analytics hung", error, now())
            return
        if line:
            self.health.analytics_starts = self.supervisor.starts
            self.logger.info("%s", line)

    # Switches

    @on(ofp_event.EventOFPStateChange, MAIN_DISPATCHER, DEAD_DISPATCHER)
    def on_state(self, event: Any) -> None:
        datapath = event.datapath
        if event.state == MAIN_DISPATCHER:
            if refusal := self.sessions.refusal(datapath, self.settings.openflow.datapaths):
                self.faults.note("openflow switch refused", PermissionError(refusal), now())
                datapath.close()
            else:
                self.sessions.open(datapath)
        elif self.sessions.close(datapath):
            self.meter.forget(datapath.id)
            self.conductor.switch_down(datapath.id)
            self.logger.warning("switch %016x disconnected", datapath.id)

    @on(ofp_event.EventOFPGroupDescStatsReply, MAIN_DISPATCHER)
    def on_groups(self, event: Any) -> None:
        if session := self.sessions.of(event.msg.datapath):
            session.take_groups(event.msg)

    @on(ofp_event.EventOFPFlowDescStatsReply, MAIN_DISPATCHER)
    def on_rules(self, event: Any) -> None:
        """The last of what a switch reports on connecting: from here on it is programmed."""
        session = self.sessions.of(event.msg.datapath)
        if session and session.take_rules(event.msg):
            self.execute(self.conductor.switch_up(session.dpid, session.report(), now()))
            self._announce_switch(session)

    @on(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def on_barrier(self, event: Any) -> None:
        if session := self.sessions.of(event.msg.datapath):
            self.conductor.confirmed(session.dpid, session.confirmed(event.msg.xid), now())

    @on(ofp_event.EventOFPErrorMsg, CONFIG_DISPATCHER, MAIN_DISPATCHER)
    def on_error(self, event: Any) -> None:
        session = self.sessions.of(event.msg.datapath)
        change = session.refused(event.msg.xid) if session else None
        if session and change is not None:
            self.conductor.refused(session.dpid, change)
            code = f"error type {event.msg.type} code {event.msg.code}"
            self.logger.error("switch %016x refused %s (%s)", session.dpid, describe(change), code)

    @on(ofp_event.EventOFPFlowRemoved, MAIN_DISPATCHER)
    def on_flow_removed(self, event: Any) -> None:
        if session := self.sessions.of(event.msg.datapath):
            self.execute(self.conductor.flow_removed(session.dpid, openflow.rule(event.msg), now()))

    @on(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def on_port(self, event: Any) -> None:
        if session := self.sessions.of(event.msg.datapath):
            up = openflow.is_up(event.msg.desc) and not openflow.is_gone(event.msg)
            for port in openflow.ports("", [event.msg.desc]).values():
                self.execute(self.conductor.port_changed(session.dpid, port, up, now()))

    @on(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet(self, event: Any) -> None:
        if session := self.sessions.of(event.msg.datapath):
            port = event.msg.match["in_port"]
            self.execute(self.conductor.packet_in(session.dpid, port, event.msg.data, now()))

    @on(ofp_event.EventOFPPortStatsReply, MAIN_DISPATCHER)
    def on_port_counters(self, event: Any) -> None:
        if session := self.sessions.of(event.msg.datapath):
            counted = openflow.port_counters(event.msg.body)
            known = {number: each for number, each in counted.items() if number in session.datapath.ports}
            self.meter.ports(session.dpid, known, now())

    @on(ofp_event.EventOFPGroupStatsReply, MAIN_DISPATCHER)
    def on_group_counters(self, event: Any) -> None:
        if session := self.sessions.of(event.msg.datapath):
            counted, known = openflow.group_counters(event.msg.body), self.conductor.groups(session.dpid)
            self.meter.groups(session.dpid, {number: counted[number] for number in counted.keys() & known})

    def poll_counters(self) -> None:
        for session in self.sessions:
            session.ask_counters()

    def tick(self) -> None:
        self.execute(self.conductor.tick(now()))

    def ask(self) -> None:
        self.execute(self.conductor.ask(now()))

    # Out

    def execute(self, commands: Iterable[Command]) -> None:
        """Does what the conductor wants, in the order of its decisions; sending never waits (listener.py)."""
        for command in commands:
            match command:
                case Complain(kind=kind, error=error):
                    self.faults.note(kind, error, now())
                case Emit(dpid=dpid, port=port, frame=frame) if session := self.sessions.get(dpid):
                    session.emit(port, frame)
                case Send(dpid=dpid, changes=changes) if session := self.sessions.get(dpid):
                    try:
                        session.send(changes)
                    except TooMuch as error:
                        self.disconnect(session.datapath, error)
                    else:
                        self._announce(dpid, changes)

    def disconnect(self, datapath: Any, error: TooMuch) -> None:
        """Ends the connection of a switch that makes the controller keep too much; it may connect again."""
        self.faults.note("openflow switch disconnected", error, now())
        datapath.close()

    def _announce(self, dpid: int, changes: Iterable[Change]) -> None:
        """Elephants' rules are logged; the rest of the pipeline is only of interest when debugging."""
        for change in changes:
            elephant = isinstance(change, PutRule | DropRule) and kind_of(change.rule.cookie) == RuleKind.ELEPHANT
            self.logger.log(logging.INFO if elephant else logging.DEBUG, "switch %016x: %s", dpid, describe(change))

    def _announce_switch(self, session: Session) -> None:
        if session.dpid in self.conductor.view().installed:
            self.logger.info("switch %016x connected: %d of its rules are ours", session.dpid, len(session.rules))
        else:
            self.logger.warning("switch %016x is not in the topology and is left alone", session.dpid)


class NorthboundController(ControllerBase):
    """The northbound interface on Ryu's HTTP server; see controller/rest.py."""

    def __init__(self, req: Any, link: Any, data: Any, **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self.app: Howdah = data["app"]

    @route("howdah", "/v1/{path:.*}")
    def answer(self, req: Any, path: str, **_: Any) -> Any:
        answer = self.app.northbound.answer(req.method, path, req.GET, req.body, now())
        self.app.execute(answer.commands)
        return _response(answer)


def _response(answer: Answer) -> Any:
    if answer.body is None:
        return Response(status=answer.status)
    text = json.dumps(answer.body)
    response = Response(status=answer.status, content_type="application/json", charset="utf-8", text=text)
    if answer.allow:
        response.allow = answer.allow
    return response
