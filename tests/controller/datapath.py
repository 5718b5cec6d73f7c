"""A datapath as Ryu has it, without a connection: it keeps what is sent, as bytes that were read back."""

from __future__ import annotations

from ryu.ofproto import ofproto_parser, ofproto_v1_5, ofproto_v1_5_parser
from ryu.ofproto.ofproto_protocol import ProtocolDesc


class Datapath(ProtocolDesc):
    def __init__(self, dpid=1):
        super().__init__(ofproto_v1_5.OFP_VERSION)
        self.id = dpid
        self.address = ("127.0.0.1", 6653)
        self.ports = {}
        self.sent = []
        self.is_closed = False
        self._xid = 0

    def set_xid(self, message):
        self._xid += 1
        return message.set_xid(self._xid)

    def send_msg(self, message):
        if message.xid is None:
            self.set_xid(message)
        self.sent.append(message)
        return True

    def close(self):
        self.is_closed = True


def wire(message):
    """The bytes of a message."""
    message.set_xid(message.xid or 0)
    message.serialize()
    return bytes(message.buf)


def through_the_wire(message):
    """The message as its receiver reads it."""
    raw = wire(message)
    version, kind, length, xid = ofproto_parser.header(raw)
    return ofproto_v1_5_parser.msg_parser(message.datapath, version, kind, length, xid, raw)
