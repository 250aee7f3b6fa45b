"""Whose turn it is."""

from segserve.execution.turns import BULK_EVERY, Turns


def test_who_waits_alone_is_next():
    turns = Turns()
    for _ in range(3 * BULK_EVERY):
        assert not turns.is_bulks(interactive_waits=True, bulk_waits=False)
        assert not turns.is_bulks(interactive_waits=False, bulk_waits=False)
        turns.started(bulk=False, bulk_waits=False)
    assert turns.is_bulks(interactive_waits=False, bulk_waits=True)
    assert not turns.is_bulks(interactive_waits=True, bulk_waits=True)


def test_one_in_eight_is_bulks_while_both_wait():
    turns, order = Turns(), []
    for _ in range(4 * BULK_EVERY):
        order.append(turns.is_bulks(interactive_waits=True, bulk_waits=True))
        turns.started(bulk=order[-1], bulk_waits=True)
    assert order == ([False] * (BULK_EVERY - 1) + [True]) * 4
