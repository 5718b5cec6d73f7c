"""A peer of the controller that speaks just enough OpenFlow 1.5 to pass for a switch, or to say something wrong."""

from __future__ import annotations

import socket
import struct

from tests.controller.openflow_messages import MESSAGES, message, multipart
from tests.patience import PATIENCE_S

HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FLOW_MOD, GROUP_MOD, MULTIPART_REQUEST = 0, 2, 3, 5, 14, 15, 18
GROUP_DESC, PORT_DESC = 7, 13


class Peer:
    """A connection to the controller from `source` (an address of this machine); closed on leaving the context."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._stream = socket.create_connection(("127.0.0.1", port), PATIENCE_S, (source, 0))

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stream.close()

    def send(self, wire: bytes) -> None:
        self._stream.sendall(wire)

    def receive(self) -> tuple[int, int, bytes] | None:
        """(type, transaction id, body) of the next message; None: the controller closed the connection."""
        header = self._exactly(8)
        if header is None:
            return None
        _, kind, length, xid = struct.unpack("!BBHI", header)
        body = self._exactly(length - 8)
        return None if body is None else (kind, xid, body)

    def _exactly(self, size: int) -> bytes | None:
        got = b""
        while len(got) < size:
            try:
                piece = self._stream.recv(size - len(got))
            except ConnectionResetError:
                return None
            if not piece:
                return None
            got += piece
        return got

    def is_closed(self) -> bool:
        """Read until the controller closes the connection; a time-out of the socket is raised."""
        while self.receive() is not None:
            pass
        return True

    def play_switch(self, dpid: int) -> list[int]:
        """Take part in the handshake as a switch of that datapath id; the types of what came until the end."""
        self.send(MESSAGES["hello"])
        seen = []
        while (got := self.receive()) is not None:
            kind, xid, body = got
            seen.append(kind)
            answer = b""
            if kind == FEATURES_REQUEST:
                answer = message(6, struct.pack("!QIBB2xII", dpid, 0, 254, 0, 0x4F, 0))
            elif kind == MULTIPART_REQUEST and struct.unpack_from("!H", body)[0] == PORT_DESC:
                answer = multipart(PORT_DESC, b"")
            elif kind == ECHO_REQUEST:
                answer = message(ECHO_REPLY, body)
            if answer:
                self.send(answer[:4] + struct.pack("!I", xid) + answer[8:])
        return seen
