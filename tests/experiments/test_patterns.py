"""Every pattern has the shape its definition promises, for any size and seed; one seed gives one pattern."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.experiments import patterns

SEEDS = st.integers(0, 10_000)
SIZES = st.integers(2, 24)


def senders(pairs):
    return [sender for sender, _ in pairs]


def receivers(pairs):
    return Counter(receiver for _, receiver in pairs)


def is_permutation(pairs, n):
    return senders(pairs) == list(range(n)) and set(receivers(pairs)) == set(range(n)) and loops(pairs) == 0


def loops(pairs):
    return sum(sender == receiver for sender, receiver in pairs)


@given(SIZES, st.integers(-50, 50))
def test_stride(n, step):
    if step % n == 0:
        with pytest.raises(ValueError, match=f"stride {step}: every one of {n} hosts"):
            patterns.stride(n, step)
    else:
        assert is_permutation(patterns.stride(n, step), n)


def test_stride_wraps_around():
    assert patterns.stride(4, 3) == [(0, 3), (1, 0), (2, 1), (3, 2)]


@given(SIZES, SEEDS)
def test_randbij(n, seed):
    pairs = patterns.randbij(n, Random(seed))
    assert is_permutation(pairs, n)
    assert pairs == patterns.randbij(n, Random(seed))


@given(SIZES, SEEDS, st.data())
def test_randx(n, seed, data):
    k = data.draw(st.integers(1, n - 1))
    pairs = patterns.randx(n, k, Random(seed))
    assert len(set(pairs)) == n * k and loops(pairs) == 0
    assert set(Counter(senders(pairs)).values()) == {k}


@pytest.mark.parametrize("seed", range(5))
def test_staggered_on_a_fat_tree_of_sixteen(seed):
    pairs = patterns.staggered(16, 0.2, 0.3, Random(seed), edge=2, pod=4)
    assert is_permutation(pairs, 16)
    assert pairs == patterns.staggered(16, 0.2, 0.3, Random(seed), edge=2, pod=4)


def test_staggered_means_follow_the_probabilities():
    """Mean counts at the same edge, in the pod, elsewhere: 2.9, 4.5, 8.6 of 16 (reference, section 7)."""
    distances = Counter()
    for seed in range(300):
        for a, b in patterns.staggered(16, 0.2, 0.3, Random(seed), edge=2, pod=4):
            distances["edge" if a // 2 == b // 2 else "pod" if a // 4 == b // 4 else "other"] += 1
    means = [distances[where] / 300 for where in ("edge", "pod", "other")]
    assert means == pytest.approx([2.9, 4.5, 8.6], abs=0.4)


def test_staggered_may_keep_all_or_nothing_at_the_edge():
    near = patterns.staggered(16, 1, 0, Random(1), edge=4, pod=4)
    far = patterns.staggered(16, 0, 0, Random(1), edge=4, pod=4)
    assert all(a // 4 == b // 4 for a, b in near) and is_permutation(near, 16)
    assert all(a // 4 != b // 4 for a, b in far) and is_permutation(far, 16)


@given(SEEDS)
def test_hotspot(seed):
    pairs = patterns.hotspot(16, Random(seed))
    assert senders(pairs) == list(range(16)) and loops(pairs) == 0
    assert Counter(receivers(pairs).values()) == {3: 2, 1: 10}


@given(SIZES)
def test_all_to_all(n):
    pairs = patterns.all_to_all(n)
    assert len(set(pairs)) == n * (n - 1) and loops(pairs) == 0


@pytest.mark.parametrize(
    ("draw", "complaint"),
    [
        (lambda rng: patterns.randx(4, 4, rng), "randx: 4 receivers for each of 4 hosts is not within 1..3"),
        (lambda rng: patterns.randbij(1, rng), "randbij: 1 hosts have no permutation without fixed points"),
        (lambda rng: patterns.hotspot(4, rng, hot=2, senders=3), "hotspot: 2 hot receivers with 3 senders each"),
        (lambda rng: patterns.staggered(4, 0.8, 0.3, rng, edge=2, pod=4), "staggered: 0.8 and 0.3 are not"),
        (lambda rng: patterns.staggered(3, 1, 0, rng, edge=1, pod=1), "staggered.1, 0.: no such pattern"),
    ],
)
def test_impossible_patterns_are_refused(draw, complaint):
    with pytest.raises(ValueError, match=complaint):
        draw(Random(0))
