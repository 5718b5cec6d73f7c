"""Traffic patterns of the data-centre literature (Hedera, NSDI 2010, section 5.2): who sends to whom.

Pure functions: hosts are numbered 0..n-1, a pattern is a list of (sender, receiver) sorted by sender, randomness comes
in as a seeded `random.Random`. A pattern that cannot exist for its numbers is a ValueError that says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random

Pairs = list[tuple[int, int]]

DRAWS_MAX = 10_000  # of whole patterns before we believe that there is none; typical patterns take a few dozen


def stride(n: int, step: int) -> Pairs:
    """Host x sends to (x + step) mod n: every host receives once."""
    if step % n == 0:
        raise ValueError(f"stride {step}: every one of {n} hosts would send to itself")
    return [(sender, (sender + step) % n) for sender in range(n)]


def randx(n: int, k: int, rng: Random) -> Pairs:
    """Every host sends to k different others, drawn uniformly."""
    if not 0 < k < n:
        raise ValueError(f"randx: {k} receivers for each of {n} hosts is not within 1..{n - 1}")
    return [
        (sender, receiver)
        for sender in range(n)
        for receiver in rng.sample([other for other in range(n) if other != sender], k)
    ]


def rand(n: int, rng: Random) -> Pairs:
    """Every host sends to one other, drawn uniformly: some receive several flows, some none."""
    return randx(n, 1, rng)


def randbij(n: int, rng: Random) -> Pairs:
    """A random permutation in which no host sends to itself."""
    if n < 2:
        raise ValueError(f"randbij: {n} hosts have no permutation without fixed points")

    def draw() -> Pairs | None:
        pairs = list(enumerate(rng.sample(range(n), n)))
        return pairs if all(sender != receiver for sender, receiver in pairs) else None

    return _drawn(draw, "randbij")


def staggered(n: int, p_edge: float, p_pod: float, rng: Random, *, edge: int, pod: int) -> Pairs:
    """A permutation that prefers near receivers.

    A sender stays on its edge switch (`edge` hosts each) with probability p_edge, in its pod (`pod` hosts) but off its
    edge switch with p_pod, and leaves the pod otherwise. On a leaf-spine leaf and pod are one: edge == pod, p_pod = 0.
    How the published permutations were drawn is not known; here the distances are redrawn until a permutation exists.
    """
    if p_edge < 0 or p_pod < 0 or p_edge + p_pod > 1:
        raise ValueError(f"staggered: {p_edge} and {p_pod} are not two probabilities of one choice")
    weights = (p_edge, p_pod, 1 - p_edge - p_pod)

    def distance(a: int, b: int) -> int:
        return 0 if a // edge == b // edge else 1 if a // pod == b // pod else 2

    def draw() -> Pairs | None:
        wanted = rng.choices(range(3), weights, k=n)
        free, pairs = set(range(n)), []
        for sender in sorted(range(n), key=lambda host: (wanted[host], rng.random())):  # the choosiest first
            pool = [one for one in sorted(free) if one != sender and distance(sender, one) == wanted[sender]]
            if not pool:
                return None
            receiver = rng.choice(pool)
            free.remove(receiver)
            pairs.append((sender, receiver))
        return sorted(pairs)

    return _drawn(draw, f"staggered({p_edge}, {p_pod})")


def hotspot(n: int, rng: Random, *, hot: int = 2, senders: int = 3) -> Pairs:
    """`hot` receivers get `senders` flows each, the other senders one cold receiver each; the rest receive nothing."""
    if hot < 1 or senders < 1 or hot * senders > n or n - hot * senders > n - hot:
        raise ValueError(f"hotspot: {hot} hot receivers with {senders} senders each do not fit {n} hosts")

    def draw() -> Pairs | None:
        hots, order = rng.sample(range(n), hot), rng.sample(range(n), n)
        cold = rng.sample([host for host in range(n) if host not in hots], n - hot * senders)
        receivers = [host for host in hots for _ in range(senders)] + cold
        pairs = sorted(zip(order, receivers, strict=True))
        return pairs if all(sender != receiver for sender, receiver in pairs) else None

    return _drawn(draw, "hotspot")


def all_to_all(n: int) -> Pairs:
    """Every ordered pair of hosts."""
    return list(itertools.permutations(range(n), 2))


def _drawn(draw: Callable[[], Pairs | None], name: str) -> Pairs:
    for _ in range(DRAWS_MAX):
        pairs = draw()
        if pairs is not None:
            return pairs
    raise ValueError(f"{name}: no such pattern in {DRAWS_MAX} draws")
