"""The fewest masked addresses that say of every MAC behind which edge switch it is: forwarding by edge, not by host.

A table of blocks (leading bits) in which the longest match wins, the smallest that gives every known MAC its edge
switch and every other address None. Where a host is alone among those of another edge, or an address amid an edge's
hosts is nobody's, a longer block says so. So a switch treats each of the 2^48 addresses as with a rule per host.

The table is the one of ORTC (Draves, King, Venkatachary, Zill: Constructing Optimal IP Routing Tables, INFOCOM 1999).
1. Up a trie of the known MACs: of each node the edges that its whole half of the space could be given. Of two halves
   those that both could have, or, if there are none, all of either.
2. Down again: a node that could have what surrounds it needs no entry, another gets one.
What is skipped on the way from a node to the next is nobody's; two levels of that leave None alone (`_seen_from`).

Nodes are never changed: a host that comes, goes or moves makes anew those above it, at most 48, and the tables before
and after are compared where nodes or what surrounds them differ. Hosts numbered in a row at each edge take as many
blocks as edges, times the ones in what their number is apart from powers of two; random MACs one each.
Memory: about 0.7 kB per host and one entry per block, on the controller, once for all switches.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

BITS = 48


class Block(NamedTuple):
    """All MACs whose first `length` bits are those of `address`; its other bits are zero."""

    address: int
    length: int


Table = dict[Block, str | None]


@dataclass(frozen=True, eq=False)
class _Node:
    """`edges`: what all addresses of the block could be given at the least cost. With `halves` both are not empty."""

    block: Block
    edges: frozenset[str | None]
    halves: tuple[_Node, _Node] | None = None


NOBODY: frozenset[str | None] = frozenset({None})


class Blocks:
    """The known MACs, and the `table` that follows: block -> edge switch, or None."""

    def __init__(self) -> None:
        self.table: Table = {}
        self._root: _Node | None = None
        self._edges: dict[int, str] = {}
        self._on: Counter[str] = Counter()

    def are_on(self, edge: str) -> bool:
        """Whether any MAC is known behind this edge switch."""
        return self._on[edge] > 0

    def update(self, hosts: Mapping[str, str | None]) -> list[Block]:
        """These MACs are behind these edge switches now, or nowhere. Returns the blocks whose entries changed.

        Those to put come first, the longest at the head; then those to drop, the shortest at the head. In this order no
        step changes where a packet to a host goes that stays.
        """
        before = self._root
        for mac, edge in hosts.items():
            address = int(mac.replace(":", ""), 16)
            if left := self._edges.pop(address, None):
                self._on[left] -= 1
            if edge is not None:
                self._edges[address] = edge
                self._on[edge] += 1
            self._root = _without(self._root, address) if edge is None else _with(self._root, address, edge)
        old, new = _difference(before, self._root)
        for block in old:
            del self.table[block]
        self.table.update(new)
        fresh = [block for block, edge in new.items() if block not in old or old[block] != edge]
        gone = [block for block in old if block not in new]
        return sorted(fresh, key=lambda block: -block.length) + sorted(gone, key=lambda block: block.length)


def text(block: Block) -> str:
    """The block as the value of a match on `eth_dst`."""
    if block.length == BITS:
        return _mac(block.address)
    return f"{_mac(block.address)}/{_mac(_mask(block.length))}"


def _mac(address: int) -> str:
    return address.to_bytes(6, "big").hex(":")


def _mask(length: int) -> int:
    return (1 << BITS) - (1 << BITS - length)


def _holds(block: Block, address: int) -> bool:
    return address & _mask(block.length) == block.address


def _half(block: Block, address: int) -> int:
    """In which half of a block an address is."""
    return address >> BITS - 1 - block.length & 1


# The trie


def _leaf(address: int, edge: str) -> _Node:
    return _Node(Block(address, BITS), frozenset({edge}))


def _join(length: int, one: _Node, other: _Node) -> _Node:
    """The node of this length over two that differ in the bit after it."""
    halves = (one, other) if one.block.address < other.block.address else (other, one)
    left, right = (_seen_from(half, length + 1) for half in halves)
    return _Node(Block(one.block.address & _mask(length), length), left & right or left | right, halves)


def _seen_from(node: _Node, length: int) -> frozenset[str | None]:
    """Step 1 from a node up its branch to this length, where all beside it is nobody's."""
    skipped = node.block.length - length
    if not skipped:
        return node.edges
    return node.edges | NOBODY if skipped == 1 and None not in node.edges else NOBODY


def _with(node: _Node | None, address: int, edge: str) -> _Node:
    if node is None:
        return _leaf(address, edge)
    if not _holds(node.block, address):
        common = BITS - (node.block.address ^ address).bit_length()
        return _join(common, node, _leaf(address, edge))
    if node.halves is None:
        return node if edge in node.edges else _leaf(address, edge)
    side = _half(node.block, address)
    half = _with(node.halves[side], address, edge)
    return node if half is node.halves[side] else _join(node.block.length, half, node.halves[1 - side])


def _without(node: _Node | None, address: int) -> _Node | None:
    if node is None or not _holds(node.block, address):
        return node
    if node.halves is None:
        return None
    side = _half(node.block, address)
    half = _without(node.halves[side], address)
    if half is node.halves[side]:
        return node
    return node.halves[1 - side] if half is None else _join(node.block.length, half, node.halves[1 - side])


# The table


class _Look(NamedTuple):
    """A node as step 2 comes upon it: the length at which its branch begins, and the edge of what surrounds that."""

    node: _Node
    begins: int
    around: str | None


def _difference(before: _Node | None, after: _Node | None) -> tuple[Table, Table]:
    """The entries of the one trie and of the other, but for those of nodes that step 2 comes upon alike in both."""
    entries: tuple[Table, Table] = ({}, {})
    todo: list[tuple[int, int]] = []  # blocks, the shorter first: so a node is met in both tries at once
    looks: dict[tuple[int, int], dict[int, _Look]] = {}

    def meet(trie: int, look: _Look) -> None:
        key = look.node.block.length, look.node.block.address
        if key not in looks:
            looks[key] = {}
            heapq.heappush(todo, key)
        looks[key][trie] = look

    for trie, root in enumerate((before, after)):
        if root is not None:
            meet(trie, _Look(root, 0, None))
    while todo:
        met = looks.pop(heapq.heappop(todo))
        if len(met) == 2 and met[0] == met[1]:
            continue
        for trie, look in met.items():
            for below in _enter(look, entries[trie]):
                meet(trie, below)
    return entries


def _enter(look: _Look, entries: Table) -> Iterator[_Look]:
    """Step 2 at one node: writes down the entries that it and its branch need, and gives what is below."""
    node, begins, around = look
    block = node.block
    if around is not None and begins < block.length:
        if around in _seen_from(node, begins):  # one bit is skipped: its other half is nobody's
            entries[Block(block.address ^ 1 << BITS - block.length, block.length)] = None
        else:
            entries[Block(block.address & _mask(begins), begins)] = around = None
    if around not in node.edges:
        entries[block] = around = min(node.edges, key=lambda edge: edge or "")
    for half in node.halves or ():
        begins = half.block.length if around is None else block.length + 1
        yield _Look(half, begins, around)
