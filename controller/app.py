"""The Ryu application: `ryu-manager controller.app`. A shim: it turns events into values, hands them to the conductor
with the time, and carries out what comes back. Nothing is decided here.

    OpenFlow events ----\\                      /---- flow mods, group mods, packet outs, each batch with a barrier
    feed of analytics ---> conductor (values) ->
    HTTP requests ------/                      \\---- JSON

Green threads, one per kind of periodic work: events and looks of the feed, port counters, discovery, the supervisor.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ryu import cfg
from ryu.app.wsgi import ControllerBase, Response, WSGIApplication, route
from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub

from controller import config, discovery, openflow
from controller.commands import Command, Emit
from controller.conductor import Conductor, Report
from controller.feed import FLOW, Feed, Unavailable
from controller.load import Meter
from controller.pipeline import Kind, kind_of
from controller.reconcile import Change, DropRule, PutRule, describe
from controller.rest import Health, Northbound
from controller.supervisor import Supervisor
from controller.topology import Fabric
from ovs_rules.rule import Group, Rule

OFP_PORT = 6653  # Ryu listens there unless told otherwise
COUNTER_PERIOD = 1.0
LOOK_PERIOD = 1.0
GLANCE_PERIOD = 0.1  # while an elephant's way, or its arrival on a new one, is not yet seen
TEND_PERIOD = 0.2
RETRY_PERIOD = 0.5


@dataclass
class Session:
    """One connection of a switch: what it reports at first, and what was sent and is not yet confirmed."""

    datapath: Any
    rules: list[Rule] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    sent: dict[int, Change] = field(default_factory=dict)
    barriers: dict[int, list[int]] = field(default_factory=dict)


def _begin() -> tuple[config.Settings, Conductor]:
    """The settings and the controller they describe; ends the program with one line if something stands in the way."""
    try:
        settings = config.load(os.environ)
        conductor = config.conductor(settings)
    except ValueError as error:
        sys.exit(f"howdah: {error}")
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


class Howdah(app_manager.RyuApp):
    """See the module."""

    OFP_VERSIONS: ClassVar = [openflow.OFP_VERSION]
    _CONTEXTS: ClassVar = {"wsgi": WSGIApplication}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings, self.conductor = _begin()
        self.meter = Meter()
        self.health = Health(analytics=self.settings.analytics.base)
        self.northbound = Northbound(self.conductor, self.meter, self.health)
        self.feed = Feed(self.settings.analytics.base, self.settings.analytics.token)
        self.supervisor = None if self.settings.analytics.url else Supervisor(self.settings.analytics)
        self.sessions: dict[int, Session] = {}
        self._published: Fabric | None = None
        self._limits: dict[int, float] | None = None
        self._looked = 0.0
        self._sending = hub.Semaphore(1)
        kwargs["wsgi"].register(Interface, {"app": self})
        logging.getLogger("ryu.lib.hub").setLevel(logging.WARNING)  # a line per HTTP request buries what matters

    def start(self) -> None:
        super().start()
        work: list[tuple[Callable[[], None], float]] = [
            (self._hear, 0.0),
            (self._look, GLANCE_PERIOD),
            (self._poll_counters, COUNTER_PERIOD),
        ]
        if self.supervisor:
            work.append((self._tend, TEND_PERIOD))
        if self.conductor.discovery:
            work.append((self._discover, discovery.PROBE_PERIOD))
        self.threads += [hub.spawn(self._repeat, what, period) for what, period in work]

    def stop(self) -> None:
        self.is_active = False  # so that the end of analytics is no news
        if self.supervisor:
            self.supervisor.stop()
        super().stop()

    def _repeat(self, what: Callable[[], None], period: float) -> None:
        while self.is_active:
            try:
                what()
            except Unavailable as error:
                self._lost(error)
                hub.sleep(RETRY_PERIOD)
            except Exception:
                self.logger.exception("%s failed; it goes on", what.__name__)
                hub.sleep(RETRY_PERIOD)
            hub.sleep(period)

    # Analytics

    def _define(self) -> None:
        """Puts topology and definitions where analytics lacks them: at first, after its restart, when they changed."""
        fabric = self.conductor.fabric
        if self._published is fabric:
            return
        self.feed.publish(fabric.to_spec().to_json())
        limits = {
            port.speed: self.conductor.tracker.threshold(port)
            for switch in fabric.switches
            for port in fabric.edge_ports(switch)
            if port.speed
        }
        if self._limits != limits:
            self.feed.define(limits, self.settings.elephants.smoothing)
        self._published, self._limits = fabric, limits
        if not self.health.analytics_alive:
            self.health.analytics_alive = True
            self.conductor.resumed(time.time())
            self.logger.info("analytics at %s answers; flow %s defined", self.feed.base, FLOW)

    def _lost(self, error: Exception) -> None:
        self._published = self._limits = None
        if self.health.analytics_alive and self.is_active:
            self.health.analytics_alive = False
            self.logger.warning("analytics at %s is lost: %s; forwarding stays as it is", self.feed.base, error)

    def _hear(self) -> None:
        if self._published is None:
            hub.sleep(RETRY_PERIOD)
            return
        observations = self.feed.events()
        if observations:
            self.carry_out(self.conductor.observed(observations, time.time(), complete=False))

    def _look(self) -> None:
        """Looks at every port: once a second, and more often while something is about to show."""
        now = time.time()
        if now - self._looked < LOOK_PERIOD and not self.conductor.ledger.unsettled(now):
            return
        self._define()
        if self.conductor.discovery:
            known = self.conductor.discovery.identify(self.conductor.fabric, self.feed.ports())
            self.carry_out(self.conductor.set_fabric(known, time.time()))
        self._looked = now = time.time()
        observations = self.feed.flows(now)
        seen: dict[tuple[str, int], int] = {}
        for observation in observations:
            port = self.conductor.fabric.port_at(observation.agent, observation.ifindex)
            if port is not None:
                seen[port.switch, port.number] = seen.get((port.switch, port.number), 0) + 1
        self.health.flows_on = seen
        self.carry_out(self.conductor.observed(observations, now, complete=True))

    def _tend(self) -> None:
        if self.supervisor and (line := self.supervisor.tend(time.time())):
            self.health.analytics_starts = self.supervisor.starts
            self.logger.info("%s", line)

    # Switches

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def on_state(self, event: Any) -> None:
        datapath = event.datapath
        if event.state == MAIN_DISPATCHER:
            if before := self.sessions.get(datapath.id):
                self.logger.warning("switch %016x connected twice: the older connection is closed", datapath.id)
                before.datapath.close()
            self.sessions[datapath.id] = Session(datapath)
            for request in openflow.state_requests(datapath):
                datapath.send_msg(request)
        elif datapath.id in self.sessions and self.sessions[datapath.id].datapath is datapath:
            del self.sessions[datapath.id]
            self.meter.forget(datapath.id)
            self.conductor.switch_down(datapath.id)
            self.logger.warning("switch %016x disconnected", datapath.id)

    @set_ev_cls(ofp_event.EventOFPGroupDescStatsReply, MAIN_DISPATCHER)
    def on_groups(self, event: Any) -> None:
        if session := self._session(event):
            session.groups += [openflow.group(entry) for entry in event.msg.body]

    @set_ev_cls(ofp_event.EventOFPFlowDescStatsReply, MAIN_DISPATCHER)
    def on_rules(self, event: Any) -> None:
        """The last of what a switch reports on connecting: from here on it is ours."""
        session = self._session(event)
        if session is None:
            return
        session.rules += [openflow.rule(entry) for entry in event.msg.body]
        if not openflow.is_last(event.msg):
            return
        datapath = session.datapath
        ports = list(datapath.ports.values())
        report = Report(
            openflow.local_name(ports),
            openflow.ports("", ports),
            {port.port_no: openflow.is_up(port) for port in ports},
            tuple(session.rules),
            tuple(session.groups),
        )
        self.carry_out(self.conductor.switch_up(datapath.id, report, time.time()))
        if datapath.id in self.conductor.installed:
            self.logger.info("switch %016x connected: %d of its rules are ours", datapath.id, len(report.rules))
        else:
            self.logger.warning("switch %016x is not in the topology and is left alone", datapath.id)

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def on_barrier(self, event: Any) -> None:
        if session := self._session(event):
            done = [session.sent.pop(xid) for xid in session.barriers.pop(event.msg.xid, []) if xid in session.sent]
            self.conductor.confirmed(session.datapath.id, done, time.time())

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_error(self, event: Any) -> None:
        session = self._session(event)
        change = session.sent.pop(event.msg.xid, None) if session else None
        if session and change is not None:
            self.conductor.refused(session.datapath.id, change)
            self.logger.error(
                "switch %016x refused %s (error type %d code %d)",
                session.datapath.id, describe(change), event.msg.type, event.msg.code,
            )  # fmt: skip

    @set_ev_cls(ofp_event.EventOFPFlowRemoved, MAIN_DISPATCHER)
    def on_flow_removed(self, event: Any) -> None:
        if session := self._session(event):
            rule = openflow.rule(event.msg)
            self.carry_out(self.conductor.flow_removed(session.datapath.id, rule, time.time()))

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def on_port(self, event: Any) -> None:
        if session := self._session(event):
            port = event.msg.desc
            up = openflow.is_up(port) and not openflow.is_gone(event.msg)
            self.carry_out(self.conductor.port_changed(session.datapath.id, port.port_no, up, time.time()))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet(self, event: Any) -> None:
        if session := self._session(event):
            port = event.msg.match["in_port"]
            self.carry_out(self.conductor.packet_in(session.datapath.id, port, event.msg.data, time.time()))

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, MAIN_DISPATCHER)
    def on_port_counters(self, event: Any) -> None:
        if session := self._session(event):
            self.meter.ports(session.datapath.id, openflow.port_counters(event.msg.body), time.time())

    @set_ev_cls(ofp_event.EventOFPGroupStatsReply, MAIN_DISPATCHER)
    def on_group_counters(self, event: Any) -> None:
        if session := self._session(event):
            for group_id, members in openflow.group_counters(event.msg.body).items():
                self.meter.members[session.datapath.id, group_id] = members

    def _session(self, event: Any) -> Session | None:
        """The session of the connection an event came by; None if that connection was replaced since."""
        session = self.sessions.get(event.msg.datapath.id)
        return session if session and session.datapath is event.msg.datapath else None

    def _poll_counters(self) -> None:
        for session in list(self.sessions.values()):
            for request in openflow.counter_requests(session.datapath):
                session.datapath.send_msg(request)

    def _discover(self) -> None:
        if self.conductor.discovery:
            now = time.time()
            self.carry_out(self.conductor.set_fabric(self.conductor.discovery.settled(self.conductor.fabric, now), now))
            self.carry_out(self.conductor.discovery.probes(self.conductor.fabric))

    # Out

    def carry_out(self, commands: Iterable[Command]) -> None:
        """Does what the conductor wants, in the order of its decisions.

        A full send queue lets other threads in between; an older rule must not overtake a newer one there. Errors and
        barrier replies find their change by transaction id.
        """
        with self._sending:
            for command in commands:
                session = self.sessions.get(command.dpid)
                if session is None:
                    continue
                if isinstance(command, Emit):
                    session.datapath.send_msg(openflow.packet_out(session.datapath, command.port, command.frame))
                else:
                    self._send(session, command.changes)

    def _send(self, session: Session, changes: Iterable[Change]) -> None:
        datapath = session.datapath
        xids = []
        for change in changes:
            message = openflow.message(datapath, change)
            datapath.set_xid(message)
            session.sent[message.xid] = change
            xids.append(message.xid)
            datapath.send_msg(message)
            self._announce(datapath.id, change)
        barrier = openflow.barrier(datapath)
        datapath.set_xid(barrier)
        session.barriers[barrier.xid] = xids
        datapath.send_msg(barrier)

    def _announce(self, dpid: int, change: Change) -> None:
        """Elephants' rules are news; the rest of the pipeline is only of interest when debugging."""
        news = isinstance(change, PutRule | DropRule) and kind_of(change.rule.cookie) == Kind.ELEPHANT
        self.logger.log(logging.INFO if news else logging.DEBUG, "switch %016x: %s", dpid, describe(change))


class Interface(ControllerBase):
    """The northbound interface on Ryu's HTTP server; see controller/rest.py."""

    def __init__(self, req: Any, link: Any, data: Any, **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self.app: Howdah = data["app"]

    @route("howdah", "/v1/{path:.*}", methods=["GET", "PUT", "POST", "DELETE"])
    def answer(self, req: Any, path: str, **_: Any) -> Any:
        token = self.app.settings.token
        given = req.headers.get("Authorization", "")
        if req.method != "GET" and token and not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return _response(401, {"error": "writing needs the header Authorization: Bearer <token>"})
        answer = self.app.northbound.answer(req.method, path, req.params, req.body, time.time())
        self.app.carry_out(answer.commands)
        return _response(answer.status, answer.body)


def _response(status: int, body: Any) -> Any:
    if body is None:
        return Response(status=status)
    return Response(status=status, content_type="application/json", charset="utf-8", text=json.dumps(body))
