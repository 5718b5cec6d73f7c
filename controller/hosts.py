"""Who is where: the hosts of a topology file, which are fixed, and those learnt from copies of ARP and Neighbour
Discovery that enter at edge ports. The switches forward both by themselves (forwarding/l2.py).

1. Whoever is heard first with a MAC or an address has it. The hosts of a file have theirs for ever.
2. What contradicts that, the MAC at another port or the address with another MAC, is a claim, and the holder is asked
   first, at its own port (frames.py). If it answers, or is heard there by itself, the claim is refused, counted and
   shown with the port it came from. If it does not answer ASKED times, or its port is down, the claim holds.
3. A host silent for HOST_AGE is asked in the same way, and forgotten if it does not answer: it may have had no need to
   speak ARP.
4. From half of a table's bound on, a newcomer is learnt only when it is heard again or answers a question; at the bound
   no more. So a flood of senders that never come back fills half a table, costs no rules after that, and stops nobody
   who is there. A port that fills the whole table has its own hosts replaced by those of ports with fewer.

All that an input changes goes out as News. Cost: an input costs the same with ten hosts and with ten thousand (ordered
dicts only; the one search, for the port with the most hosts, is over ports, and only while the whole table is full).
Memory: 0.5 kB per host beside its rules, and at most TOTAL_HOSTS of them.

Not covered: who is heard first after a start is believed, and one that takes over while the holder is off stays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from controller.frames import Claim
from controller.topology import Fabric, Host, Place

PORT_HOSTS = 1024  # behind one port, which may be another layer-2 domain
TOTAL_HOSTS = 16384
ADDRESSES = 16  # of one host: link-local, stable and temporary IPv6 (RFC 8981) of several prefixes
WAITING = 256  # newcomers per port that have to be heard again
HOST_AGE = 600.0  # s of silence until a host is asked; ARP caches ask after minutes at most
DOUBT_AGE = 30.0  # the same behind a port that seems to lead to a switch
ASK_PERIOD = 0.5  # s between two questions about one thing
ASKED = 3
QUESTIONS = 1024  # open at a time, half of them by age
CLAIMS = 64  # open at a time, of one port
PROBLEM_AGE = 600.0  # s that a refusal is shown


@dataclass
class News:
    """What an input brought: questions to be put to hosts, as (place, MAC, address); hosts before and after, None where
    there is none; claims that were refused, and newcomers for whom there was no room, one line each.
    """

    questions: list[tuple[Place, str, str]] = field(default_factory=list)
    moved: list[tuple[Host | None, Host | None]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    crowded: list[str] = field(default_factory=list)


@dataclass
class _Question:
    """Whether `mac` is still where it is known, or still has `address`. `claim` is what hangs on it, with its place."""

    mac: str
    address: str | None
    claim: tuple[Claim, Place] | None = None
    left: int = ASKED
    due: float = 0.0


@dataclass
class _Problem:
    text: str
    times: int
    last: float


class Hosts:
    """All hosts, by MAC, address and place. Its time is what passes by calls of `due`, one every ASK_PERIOD: so a clock
    that is set and a controller that stood still make no host silent and no question unanswered.
    """

    def __init__(self, fixed: Iterable[Host] = ()) -> None:
        self.by_mac: dict[str, Host] = {}
        self.by_address: dict[str, Host] = {}
        self._at: dict[Place, OrderedDict[str, None]] = {}  # MACs, the one silent longest first
        self._on: dict[str, int] = {}
        self._heard: OrderedDict[str, float] = OrderedDict()  # of learnt hosts, the one silent longest first
        self._fixed_addresses: set[str] = set()
        self._questions: OrderedDict[tuple[str, str | None], _Question] = OrderedDict()  # the one due first, first
        self._claims: dict[Place, int] = {}
        self._waiting: dict[Place, OrderedDict[str, str]] = {}
        self._problems: dict[tuple[str, Place], _Problem] = {}
        self._now = 0.0
        for host in fixed:
            self._put(None, host)
            self._fixed_addresses.update(host.addresses)

    # What is known

    def __iter__(self) -> Iterator[Host]:
        return iter(self.by_mac.values())

    def __len__(self) -> int:
        return len(self.by_mac)

    def are_at(self, place: Place) -> bool:
        return bool(self._at.get(place))

    def are_on(self, switch: str) -> bool:
        return bool(self._on.get(switch))

    def problems(self) -> list[str]:
        return [f"{problem.text} ({problem.times} times)" for problem in self._problems.values()]

    # Inputs

    def heard(self, claim: Claim, place: Place, down: Collection[Place], *, learn: bool) -> News:
        """A host spoke at this edge port. Without `learn`, what was not known is left alone. `down` are dead ports."""
        news = News()
        known = self.by_mac.get(claim.mac)
        if known is None:
            if not learn or not self._is_welcome(claim, place, news):
                return news
            free = () if claim.address in self.by_address else (claim.address,)
            known = self._put(None, Host(claim.mac, claim.mac, *place, free), news)
        elif known.place != place:
            if learn:
                self._claim_place(known, claim, place, down, news)
            return news
        self._alive(known, claim.address, news)
        if claim.address not in known.addresses and learn:
            self._claim_address(known, claim, down, news)
        return news

    def due(self, mute: Collection[Place] = ()) -> News:
        """ASK_PERIOD has passed: asks again, decides what was not answered, and asks those silent for long. Of hosts at
        `mute` ports no answer can come; they are asked when it can.
        """
        self._now += ASK_PERIOD
        news = News()
        while self._questions and (question := next(iter(self._questions.values()))).due <= self._now:
            if self.by_mac[question.mac].place in mute:
                question.left, question.due = ASKED, self._now + ASK_PERIOD
                self._questions.move_to_end((question.mac, question.address))
            elif question.left:
                self._ask(question, news)
            else:
                self._unanswered(question, news)
        for mac, heard in self._heard.items():
            if self._now - heard < HOST_AGE or len(self._questions) >= QUESTIONS // 2:
                break
            if (mac, None) not in self._questions:
                self._ask(_Question(mac, None), news)
        for key in [key for key, problem in self._problems.items() if self._now - problem.last > PROBLEM_AGE]:
            del self._problems[key]
        return news

    def doubt(self, places: Iterable[Place]) -> News:
        """These ports seem to lead to a switch: hosts there that were silent for DOUBT_AGE have to answer."""
        news = News()
        for mac in [mac for place in places for mac in self._at.get(place, ())]:
            silent = self._now - self._heard.get(mac, self._now) >= DOUBT_AGE
            if silent and (mac, None) not in self._questions and len(self._questions) < QUESTIONS:
                self._ask(_Question(mac, None), news)
        return news

    def keep_within(self, fabric: Fabric) -> News:
        """Forgets the hosts at ports that are no more."""
        news = News()
        for place in [place for place in {**self._at, **self._waiting} if not fabric.has_port(place)]:
            for mac in list(self._at.get(place, ())):
                self._forget(self.by_mac[mac], news)
            self._waiting.pop(place, None)
        return news

    # Newcomers

    def _is_welcome(self, claim: Claim, place: Place, news: News) -> bool:
        """Whether a host not known so far is learnt; from half of a bound on it has to be heard twice."""
        here, learnt = len(self._at.get(place, ())), len(self._heard)
        if here < PORT_HOSTS // 2 and learnt < TOTAL_HOSTS // 2:
            return True
        waiting = self._waiting.setdefault(place, OrderedDict())
        if waiting.pop(claim.mac, None) is None:
            waiting[claim.mac] = claim.address
            news.questions.append((place, claim.mac, claim.address))
            if len(waiting) > WAITING:
                mac, _ = waiting.popitem(last=False)
                self._crowd(f"{mac} is not learnt: {here} hosts are known there, and it was heard once", place, news)
            return False
        if here < PORT_HOSTS and learnt < TOTAL_HOSTS:
            return True
        if here < PORT_HOSTS:
            fullest = max(self._at, key=lambda one: len(self._at[one]))
            oldest = next((mac for mac in self._at[fullest] if mac in self._heard), None)
            if len(self._at[fullest]) > here + 1 and oldest is not None:
                self._forget(self.by_mac[oldest], news)
                return True
        self._crowd(f"{claim.mac} is not learnt: {here} hosts are known there and {learnt} in all", place, news)
        return False

    # Claims

    def _claim_place(self, known: Host, claim: Claim, place: Place, down: Collection[Place], news: News) -> None:
        """A known MAC at another port."""
        if known.fixed:
            self._refuse(claim, place, f"{known.mac} is at {_words(known.place)} by the topology", news)
        elif known.place in down or not known.addresses:
            self._move(known, claim, place, news)
        else:
            self._contest(known.mac, None, claim, place, news)

    def _claim_address(self, known: Host, claim: Claim, down: Collection[Place], news: News) -> None:
        """A host where it is known, with an address that is not known as its own."""
        holder = self.by_address.get(claim.address)
        if holder is None:
            self._take_address(known, claim.address, news)
        elif claim.address in self._fixed_addresses:
            self._refuse(claim, known.place, f"{claim.address} is {holder.name}'s by the topology", news)
        elif holder.place in down:
            self._take_address(known, claim.address, news)
        else:
            self._contest(holder.mac, claim.address, claim, known.place, news)

    def _contest(self, mac: str, address: str | None, claim: Claim, place: Place, news: News) -> None:
        """Asks for the place or the address of `mac`, on which a claim hangs, unless another hangs on it already."""
        opened = self._questions.get((mac, address))
        if opened is not None and opened.claim is not None:
            return
        if self._claims.get(place, 0) >= CLAIMS or len(self._questions) >= QUESTIONS:
            self._refuse(claim, place, "too many claims from there are open", news)
            return
        self._claims[place] = self._claims.get(place, 0) + 1
        self._ask(_Question(mac, address, (claim, place)), news)

    def _alive(self, host: Host, address: str, news: News) -> None:
        """A host was heard where it is known, with this address: questions about both are answered."""
        if not host.fixed:
            self._heard[host.mac] = self._now
            self._heard.move_to_end(host.mac)
            self._at[host.place].move_to_end(host.mac)
        for asked in (None, address):
            question = self._questions.get((host.mac, asked))
            if question is None:
                continue
            self._close(question)
            if question.claim is not None:
                claim, place = question.claim
                self._refuse(claim, place, f"{host.mac} answers at {_words(host.place)}", news)

    def _unanswered(self, question: _Question, news: News) -> None:
        """The host is gone from its place, or the address is no longer its own."""
        self._close(question)
        host = self.by_mac[question.mac]
        if question.claim is None:
            self._forget(host, news)
            return
        claim, place = question.claim
        claimant = self.by_mac.get(claim.mac)
        if question.address is None:
            self._move(host, claim, place, news)
        elif claimant is not None and claimant.place == place:
            self._take_address(claimant, question.address, news)

    def _move(self, host: Host, claim: Claim, place: Place, news: News) -> None:
        """A host is where it was heard, if there is room; with the address it gave there, if that is free."""
        if len(self._at.get(place, ())) >= PORT_HOSTS:
            self._crowd(f"{host.mac} is not moved there: it has {PORT_HOSTS} hosts", place, news)
            return
        self._withdraw(host.mac, None)
        moved = self._put(host, replace(host, switch=place[0], port=place[1]), news)
        self._alive(moved, claim.address, news)
        if claim.address not in moved.addresses and claim.address not in self.by_address:
            self._take_address(moved, claim.address, news)

    def _take_address(self, host: Host, address: str, news: News) -> None:
        """The address is this host's; whoever had it has it no more. Of too many the one known longest goes."""
        holder = self.by_address.get(address)
        if holder is not None:
            left = tuple(other for other in holder.addresses if other != address)
            self._put(holder, replace(holder, addresses=left), news)
        kept = host.addresses
        if len(kept) >= ADDRESSES:
            oldest = next((one for one in kept if one not in self._fixed_addresses), None)
            if oldest is None:
                return
            kept = tuple(one for one in kept if one != oldest)
        self._put(host, replace(host, addresses=(*kept, address)), news)

    # Questions

    def _ask(self, question: _Question, news: News) -> None:
        """Asks for the address in question, or for each of the host's in turn, the newest first."""
        host = self.by_mac[question.mac]
        wanted = (question.address,) if question.address else host.addresses
        if wanted:
            news.questions.append((host.place, host.mac, wanted[-1 - (ASKED - question.left) % len(wanted)]))
        question.left, question.due = question.left - 1, self._now + ASK_PERIOD
        key = question.mac, question.address
        self._questions[key] = question
        self._questions.move_to_end(key)

    def _withdraw(self, mac: str, address: str | None) -> None:
        if question := self._questions.get((mac, address)):
            self._close(question)

    def _close(self, question: _Question) -> None:
        if self._questions.pop((question.mac, question.address), None) is not None and question.claim is not None:
            place = question.claim[1]
            self._claims[place] -= 1
            if not self._claims[place]:
                del self._claims[place]

    # The table

    def _put(self, before: Host | None, after: Host, news: News | None = None) -> Host:
        """Replaces what is known of a host. The only place, with `_forget`, where the table changes."""
        if before is not None:
            self._drop(before)
            for address in set(before.addresses) - set(after.addresses):
                self._withdraw(before.mac, address)
        self.by_mac[after.mac] = after
        self.by_address.update(dict.fromkeys(after.addresses, after))
        self._at.setdefault(after.place, OrderedDict())[after.mac] = None
        self._on[after.switch] = self._on.get(after.switch, 0) + 1
        if news is not None:
            news.moved.append((before, after))
        return after

    def _forget(self, host: Host, news: News) -> None:
        for asked in (None, *host.addresses):
            self._withdraw(host.mac, asked)
        self._drop(host)
        self._heard.pop(host.mac, None)
        news.moved.append((host, None))

    def _drop(self, host: Host) -> None:
        del self.by_mac[host.mac]
        for address in host.addresses:
            del self.by_address[address]
        at = self._at[host.place]
        del at[host.mac]
        if not at:
            del self._at[host.place]
            self._waiting.pop(host.place, None)
        self._on[host.switch] -= 1

    # What is refused

    def _refuse(self, claim: Claim, place: Place, why: str, news: News) -> None:
        text = f"{_words(place)}: {claim.mac} as {claim.address} is refused: {why}"
        news.refused.append(text)
        self._complain("claim", place, text)

    def _crowd(self, what: str, place: Place, news: News) -> None:
        text = f"{_words(place)}: {what}"
        news.crowded.append(text)
        self._complain("crowd", place, text)

    def _complain(self, kind: str, place: Place, text: str) -> None:
        problem = self._problems.setdefault((kind, place), _Problem(text, 0, 0.0))
        problem.text, problem.times, problem.last = text, problem.times + 1, self._now


def _words(place: Place) -> str:
    return f"{place[0]} port {place[1]}"


def addresses_of(moved: Iterable[tuple[Host | None, Host | None]]) -> set[str]:
    """The addresses whose hosts these changes are about."""
    return {address for pair in moved for host in pair if host for address in host.addresses}
