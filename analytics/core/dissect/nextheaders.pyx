"""Which header is next: the numbers by which headers name their successors -> Protocol.

IANA: ieee-802-numbers, protocol-numbers, service-names-port-numbers, nsh. A number without a row ends the walk.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from analytics.core.dissect.packet cimport *

memset(BY_PROTOCOL, 0, 256)
for _number, _protocol in (
    (1, P_ICMP), (2, P_IGMP), (4, P_IP), (6, P_TCP), (17, P_UDP), (33, P_DCCP), (41, P_IP6), (47, P_GRE), (50, P_ESP),
    (51, P_AH), (58, P_ICMP6), (89, P_OSPF), (97, P_ETHERIP), (103, P_PIM), (112, P_VRRP), (115, P_L2TP3),
    (132, P_SCTP), (136, P_UDPLITE), (137, P_MPLS), (143, P_ETH),
):
    BY_PROTOCOL[_number] = _protocol


cdef Protocol by_rare_type(uint32_t kind) noexcept nogil:
    if kind == 0x88E7:
        return P_PBB
    if kind == 0x22F3:
        return P_TRILL
    if kind == 0x88E5:
        return P_MACSEC
    if kind == 0x6558:
        return P_ETH
    if kind == 0x894F:
        return P_NSH
    if kind == 0x880B:
        return P_PPP
    if kind == 0x8035:
        return P_RARP
    if kind == 0x88CC:
        return P_LLDP
    if kind == 0x8809:
        return P_SLOW
    if kind == 0x888E:
        return P_EAPOL
    if kind == 0x8906:
        return P_FCOE
    if kind == 0x88F7:
        return P_PTP
    return END


cdef inline Protocol by_port(uint32_t port) noexcept nogil:
    if port == 4789 or port == 8472:
        return P_VXLAN
    elif port == 6081:
        return P_GENEVE
    elif port == 4790:
        return P_GPE
    elif port == 2152:
        return P_GTP
    elif port == 6635:
        return P_MPLS
    elif port == 4341:
        return P_LISP
    elif port == 4791:
        return P_IBBT
    elif port == 1701:
        return P_L2TP
    elif port == 3544:
        return P_TEREDO
    elif port == 5247:
        return P_CAPWAP
    elif port == 4500:
        return P_UDPENCAP
    elif port == 53:
        return P_DNS
    return END


cdef Protocol by_udp_port(uint32_t source, uint32_t destination) noexcept nogil:
    """The header behind UDP; END when the ports mean nothing to us. Of some protocols the answers count too."""
    cdef Protocol next_header = by_port(destination)
    if next_header == END and (source == 53 or source == 1701 or source == 3544 or source == 4500
                               or source == 5247):
        return by_port(source)
    return next_header


cdef Protocol by_next(uint32_t number) noexcept nogil:
    """The "next protocol" numbers that VXLAN-GPE and NSH share."""
    if number == 1:
        return P_IP
    if number == 2:
        return P_IP6
    if number == 3:
        return P_ETH
    if number == 4:
        return P_NSH
    return P_MPLS if number == 5 else END


cdef Protocol first(uint32_t protocol) noexcept nogil:
    """The first header of a sampled_header of this protocol; END: its bytes are kept unread."""
    if protocol == 1:
        return P_ETH
    if protocol == 7:
        return P_PPP
    if protocol == 11:
        return P_IP
    if protocol == 12:
        return P_IP6
    if protocol == 13:
        return P_MPLS
    if protocol == 14:
        return P_HDLC
    return P_WLAN if protocol == 15 else END
