"""Scripts in Python over the REST interface of analytics, for Howdah and for sFlow-RT; see README.md."""

from client.baseline import Baseline
from client.connection import Refused, Unavailable, WrongAnswer
from client.outputs import graphite, syslog
from client.requesthandler import BadRequest, NotFound, Request
from client.script import Script
from client.topology import Topology

__all__ = [
    "BadRequest",
    "Baseline",
    "NotFound",
    "Refused",
    "Request",
    "Script",
    "Topology",
    "Unavailable",
    "WrongAnswer",
    "graphite",
    "syslog",
]
