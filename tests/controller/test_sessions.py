"""Connections of switches: what is sent, what is confirmed, what is refused, by transaction id."""

import pytest
from ryu.ofproto import ofproto_v1_5 as ofp

from controller import sessions as module
from controller.reconcile import DropRule, PutGroup, PutRule
from controller.sessions import Sessions, TooMuch
from ovs_rules.rule import Bucket, Group, Output, Rule
from tests.controller.datapath import Datapath

RULES = [Rule((("in_port", number),), (Output(9),)) for number in range(3)]


@pytest.fixture
def session():
    sessions, datapath = Sessions(), Datapath(1)
    sessions.open(datapath)
    datapath.sent.clear()
    return sessions.get(1)


def kinds(datapath):
    return [message.cls_msg_type for message in datapath.sent]


def test_a_switch_is_asked_for_its_groups_and_then_its_rules():
    sessions, datapath = Sessions(), Datapath(1)
    sessions.open(datapath)
    assert [message.type for message in datapath.sent] == [ofp.OFPMP_GROUP_DESC, ofp.OFPMP_FLOW_DESC]


def test_changes_go_in_order_and_a_barrier_ends_them(session):
    group = Group(1, "all", (Bucket((Output(1),)),))
    session.send([PutGroup(group, False), PutRule(RULES[0]), DropRule(RULES[1])])
    assert kinds(session.datapath) == [
        ofp.OFPT_GROUP_MOD, ofp.OFPT_FLOW_MOD, ofp.OFPT_FLOW_MOD, ofp.OFPT_BARRIER_REQUEST,
    ]  # fmt: skip
    assert len({message.xid for message in session.datapath.sent}) == 4


def test_a_barrier_confirms_what_was_sent_before_it_but_for_what_was_refused(session):
    one, two, three = (PutRule(rule) for rule in RULES)
    session.send([one, two])
    session.send([three])
    xids = [message.xid for message in session.datapath.sent]
    assert session.refused(xids[1]) == two
    assert session.confirmed(xids[2]) == [one]
    assert session.confirmed(xids[4]) == [three]
    assert session.sent == {}


def test_an_unknown_transaction_is_about_nothing(session):
    assert session.refused(99) is None
    assert session.confirmed(99) == []


def test_a_change_is_known_before_its_message_is_out(session):
    """The answer to a message may be read while the next one still waits for the send queue."""
    change = PutRule(RULES[0])
    found = []
    session.datapath.send_msg = lambda message: found.append((message.xid in session.sent, dict(session.barriers)))
    session.send([change])
    assert found == [(True, {}), (False, session.barriers)]
    assert len(session.barriers) == 1


def test_the_connection_that_has_a_datapath_id_keeps_it():
    sessions, first, second = Sessions(), Datapath(1), Datapath(1)
    sessions.open(first)
    assert "datapath id 0000000000000001 is connected already" in sessions.refusal(second, ())
    assert sessions.of(second) is None
    assert not sessions.close(second)
    assert sessions.of(first).datapath is first
    assert sessions.close(first)
    assert sessions.refusal(second, ()) is None


def test_only_allowed_datapath_ids_become_switches():
    assert "is not among the datapaths" in Sessions().refusal(Datapath(1), (2, 3))
    assert Sessions().refusal(Datapath(3), (2, 3)) is None


def test_a_report_holds_what_the_switch_said(session):
    session.rules += RULES
    report = session.report()
    assert (report.name, report.rules, report.groups) == (None, tuple(RULES), ())


class Reply:
    """A part of a multipart reply; its body is not looked into."""

    def __init__(self, xid, entries=0, more=False):
        self.xid, self.body = xid, [object()] * entries
        self.flags = ofp.OFPMPF_REPLY_MORE if more else 0


@pytest.fixture
def asking(monkeypatch):
    """(session, transaction ids of its questions for groups and for rules); every entry reads as one rule."""
    monkeypatch.setattr(module.openflow, "rule", lambda entry: RULES[0])
    monkeypatch.setattr(module.openflow, "group", lambda entry: RULES[0])
    sessions, datapath = Sessions(), Datapath(1)
    sessions.open(datapath)
    return sessions.get(1), *(message.xid for message in datapath.sent)


def test_a_report_is_complete_with_the_last_part_of_the_rules(asking):
    session, groups, rules = asking
    session.take_groups(Reply(groups, 2))
    assert not session.take_rules(Reply(rules, 3, more=True))
    assert session.take_rules(Reply(rules, 1))
    assert (len(session.rules), len(session.groups)) == (4, 2)


def test_what_was_not_asked_for_and_what_comes_again_counts_for_nothing(asking):
    session, groups, rules = asking
    assert not session.take_rules(Reply(rules + 100, 5))
    session.take_groups(Reply(groups + 100, 5))
    assert session.take_rules(Reply(rules, 1))
    assert not session.take_rules(Reply(rules, 5))
    assert (len(session.rules), len(session.groups)) == (1, 0)


def test_an_endless_report_is_too_much(asking, monkeypatch):
    session, groups, rules = asking
    monkeypatch.setattr(module, "MAX_REPORTED", 100)
    session.take_groups(Reply(groups, 50, more=True))
    session.take_rules(Reply(rules, 50, more=True))
    with pytest.raises(TooMuch, match="0000000000000001 reports more than 100 rules and groups"):
        session.take_rules(Reply(rules, 1, more=True))


def test_a_switch_that_confirms_nothing_is_not_sent_changes_without_end(session, monkeypatch):
    monkeypatch.setattr(module, "MAX_UNCONFIRMED", 3)
    for _ in range(3):
        session.send([PutRule(RULES[0])])
    with pytest.raises(TooMuch, match="confirmed none of the last 3 batches"):
        session.send([PutRule(RULES[0])])
    session.confirmed(session.datapath.sent[1].xid)
    session.send([PutRule(RULES[0])])
