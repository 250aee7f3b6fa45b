"""Deadlines are moments; the earlier one counts."""

from math import inf

from segserve.core.deadline import NO_DEADLINE, Deadline


def test_remaining_and_passed():
    deadline = Deadline(10.5)
    assert deadline.remaining_s(10.0) == 0.5
    assert not deadline.passed(10.0)
    assert deadline.passed(10.5)
    assert deadline.passed(11.0)


def test_no_deadline_never_passes():
    assert Deadline.after(None) == NO_DEADLINE
    assert NO_DEADLINE.remaining_s() == inf
    assert not NO_DEADLINE.passed()


def test_the_sooner_one():
    assert Deadline(1.0).sooner(NO_DEADLINE) == Deadline(1.0)
    assert NO_DEADLINE.sooner(Deadline(2.0)) == Deadline(2.0)


def test_after_counts_from_now():
    assert 0 < Deadline.after(5.0).remaining_s() <= 5.0
