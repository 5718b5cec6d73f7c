"""Blocks of MACs: to a switch the same as a rule per host, in the fewest entries, at every step of a change."""

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.forwarding.blocks import BITS, Block, Blocks, text

EDGES = ["leaf1", "leaf2", "leaf3"]
LOW = 5  # bits in which most of the tests' addresses differ
FAR = 0x00_04_00_00_00_00
ADDRESSES = st.one_of(st.integers(0, (1 << LOW) - 1), st.integers(FAR, FAR + 7), st.just((1 << BITS) - 1))
HOSTS = st.dictionaries(ADDRESSES, st.sampled_from(EDGES), max_size=20)
CHANGES = st.lists(st.dictionaries(ADDRESSES, st.sampled_from([None, *EDGES]), max_size=8), max_size=5)


def mac(address):
    return text(Block(address, BITS))


def by_mac(hosts):
    return {mac(address): edge for address, edge in hosts.items()}


def longest(table, address):
    """What a table with longest-prefix match says of an address; None too where nothing matches."""
    for length in range(BITS, -1, -1):
        block = Block(address >> BITS - length << BITS - length, length)
        if block in table:
            return table[block]
    return None


def near(hosts):
    """Addresses in and beside blocks: every low one, and those that differ from the largest host in one bit."""
    flipped = {max(hosts) ^ 1 << bit for bit in range(BITS)} if hosts else set()
    return {*hosts, *range(1 << LOW), *range(FAR, FAR + 16), *flipped}


@given(HOSTS, CHANGES)
@settings(max_examples=100, deadline=None)
def test_every_address_is_treated_as_with_a_rule_per_host(hosts, changes):
    blocks = Blocks()
    blocks.update(by_mac(hosts))
    for change in changes:
        before = dict(blocks.table)
        touched = blocks.update(by_mac(change))
        assert len(touched) == len(set(touched))
        assert set(touched) == {
            block
            for block in before.keys() | blocks.table.keys()
            if (block in before, before.get(block)) != (block in blocks.table, blocks.table.get(block))
        }
        hosts = {address: edge for address, edge in (hosts | change).items() if edge is not None}
    found = {address: longest(blocks.table, address) for address in near(hosts)}
    assert found == {address: hosts.get(address) for address in near(hosts)}
    assert all(blocks.are_on(edge) == (edge in hosts.values()) for edge in EDGES)
    again = Blocks()
    again.update(by_mac(hosts))
    assert blocks.table == again.table


@given(HOSTS, st.dictionaries(ADDRESSES, st.sampled_from([None, *EDGES]), max_size=8))
@settings(max_examples=100, deadline=None)
def test_no_step_of_a_change_turns_a_host_away_that_stays(hosts, change):
    blocks = Blocks()
    blocks.update(by_mac(hosts))
    table = dict(blocks.table)
    staying = {address: edge for address, edge in hosts.items() if change.get(address, edge) == edge}
    for block in blocks.update(by_mac(change)):
        if block in blocks.table:
            table[block] = blocks.table[block]
        else:
            del table[block]
        assert {address: longest(table, address) for address in staying} == staying
    assert table == blocks.table


@given(st.dictionaries(st.integers(0, (1 << LOW) - 1), st.sampled_from(EDGES), max_size=20))
@settings(max_examples=100, deadline=None)
def test_no_smaller_table_does_the_same(hosts):
    blocks = Blocks()
    blocks.update(by_mac(hosts))

    @cache
    def fewest(start, size, given_):
        """The fewest entries for a block of `size` addresses that are given this edge by what surrounds it."""
        if size == 1:
            return int(hosts.get(start) != given_)
        return min(
            int(edge != given_) + fewest(start, size // 2, edge) + fewest(start + size // 2, size // 2, edge)
            for edge in [None, *EDGES]
        )

    assert len(blocks.table) == fewest(0, 1 << LOW, None)


def test_hosts_in_a_row_share_a_block_and_a_stranger_among_them_has_its_own():
    blocks = Blocks()
    blocks.update(by_mac({FAR + n: "leaf1" for n in range(16)}))
    assert {text(block): edge for block, edge in blocks.table.items()} == {
        "00:04:00:00:00:00/ff:ff:ff:ff:ff:f0": "leaf1"
    }
    (moved,) = blocks.update({mac(FAR + 5): "leaf2"})
    assert (text(moved), blocks.table[moved]) == ("00:04:00:00:00:05", "leaf2")
    (gone,) = blocks.update({mac(FAR + 5): None})
    assert (text(gone), blocks.table[gone]) == ("00:04:00:00:00:05", None)


def test_a_host_changes_as_many_entries_among_thousands_as_among_ten():
    blocks = Blocks()
    blocks.update({mac(edge << 16 | n): f"leaf{edge}" for edge in range(1, 300) for n in range(1, 17)})
    assert len(blocks.table) == 3 * 299
    assert len(blocks.update({mac(77 << 16 | 17): "leaf77"})) <= 3
    assert len(blocks.update({mac(0xA2_55_10_99_3C_71): "leaf5"})) == 1
