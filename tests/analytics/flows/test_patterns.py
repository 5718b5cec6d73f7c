"""analytics.flows.patterns: expressions of clients; none takes more than linear time."""

from __future__ import annotations

import pytest

from analytics.flows.patterns import MAX_LENGTH, BadPattern, Pattern


@pytest.mark.parametrize(
    ("text", "whole", "inside"),
    [
        (r"10\.0\..*", "10.0.1.2", "x10.0.1"),
        ("(?i)tcp", "TCP", "a tcp b"),
        ("[0-9]+|any", "42", "v42"),
        ("é", "é", "né"),
    ],
)
def test_whole_and_inside(text, whole, inside):
    assert Pattern(text).matches(whole)
    assert not Pattern(text).matches(inside)
    assert Pattern(text).is_in(inside)


@pytest.mark.parametrize("text", [r"(a+)+$", r"(a|aa)+$", r"(.*)*x", r"(a?){40}a{40}b"])
def test_an_expression_that_backtracks_elsewhere_is_answered(text):
    """With Python's `re` each of these takes longer than the age of the universe."""
    assert not Pattern(text).is_in("a" * 5000 + "!")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a(?=b)", r"(?="),
        (r"(a)\1", r"\1"),
        ("a++", "++"),
        ("[", "missing ]"),
        ("(", "missing )"),
        ("a{1001}", "{1001}"),
        ("x" * (MAX_LENGTH + 1), str(MAX_LENGTH)),
    ],
)
def test_what_is_not_taken_is_named(text, word):
    with pytest.raises(BadPattern) as refusal:
        Pattern(text)
    assert word in str(refusal.value)


def test_halves_of_surrogate_pairs_raise_nothing():
    assert not Pattern("a").is_in("\ud800")
    assert not Pattern("\ud800").is_in("a")
