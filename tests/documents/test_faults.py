"""documents.faults: every fault is counted, few are logged."""

from __future__ import annotations

import logging

from documents.faults import PERIOD_S, Faults


def test_faults_are_counted_by_kind():
    faults = Faults(logging.getLogger("test"))
    for second in range(3):
        faults.note("event poll", ValueError("no"), second)
    faults.note("udp receive", OSError("gone"), 0.0)
    assert faults.counts() == {"event poll": 3, "udp receive": 1}


def test_the_first_is_logged_with_its_traceback_and_then_one_line_a_period(caplog):
    faults = Faults(logging.getLogger("test"))
    for tenth in range(round(2 * PERIOD_S * 10)):
        try:
            raise ValueError("bad\nanswer")
        except ValueError as error:
            faults.note("event poll", error, tenth / 10)
    first, second = caplog.records
    assert first.getMessage() == "event poll: bad answer"
    assert first.exc_info is not None
    assert second.getMessage() == f"event poll: bad answer ({round(PERIOD_S * 10) - 1} more since the last line)"
    assert second.exc_info is None


def test_kinds_do_not_silence_each_other(caplog):
    faults = Faults(logging.getLogger("test"))
    faults.note("event poll", ValueError("a"), 1.0)
    faults.note("port poll", ValueError("b"), 1.0)
    assert [record.getMessage() for record in caplog.records] == ["event poll: a", "port poll: b"]


def test_what_was_never_raised_has_no_traceback_to_log(caplog):
    Faults(logging.getLogger("test")).note("http accept", PermissionError("10.0.0.1"), 1.0)
    assert caplog.records[0].exc_info is None


def test_an_error_without_words_is_called_by_its_type(caplog):
    Faults(logging.getLogger("test")).note("event poll", KeyError(), 1.0)
    assert caplog.records[0].getMessage() == "event poll: KeyError"
