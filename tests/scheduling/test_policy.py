"""The policy by plain calls with invented times."""

import pytest

from segserve.scheduling.policy import (
    BatchLimits,
    QueuePolicy,
    Take,
    Waiting,
    WaitUntil,
    decide,
)


def waiting(bucket="a", count=1, rank=2, oldest_s=10.0):
    return Waiting(bucket, count, rank, oldest_s)


def test_nothing_waits_or_nobody_is_idle():
    assert decide([], BatchLimits(8), 2, 10.0) is None
    assert decide([waiting()], BatchLimits(8), 0, 10.0) is None


def test_one_at_a_time_without_a_batch_axis():
    assert decide([waiting(count=5)], BatchLimits(0), 1, 10.0) == Take("a", 1)
    assert decide([waiting(count=5)], BatchLimits(1), 1, 10.0) == Take("a", 1)


@pytest.mark.parametrize(("count", "taken"), [(1, 1), (3, 3), (8, 8), (20, 8)])
def test_an_accelerator_takes_all_that_waits(count, taken):
    assert decide([waiting(count=count)], BatchLimits(8), 1, 10.0) == Take("a", taken)


@pytest.mark.parametrize(
    ("count", "idle", "taken"), [(1, 2, 1), (3, 2, 2), (4, 2, 2), (8, 2, 4), (20, 2, 8)]
)
def test_cpu_instances_share_what_waits(count, idle, taken):
    limits = BatchLimits(8, instances=2, spread=True)
    assert decide([waiting(count=count)], limits, idle, 10.0) == Take("a", taken)


@pytest.mark.parametrize(("count", "taken"), [(1, 1), (6, 3), (7, 4), (20, 8)])
def test_a_busy_cpu_instance_has_its_share_too(count, taken):
    limits = BatchLimits(8, instances=2, spread=True)
    assert decide([waiting(count=count)], limits, 1, 10.0, 1) == Take("a", taken)
    assert decide([waiting(count=count)], BatchLimits(8), 1, 10.0, 1) == Take("a", min(count, 8))


@pytest.mark.parametrize(
    ("row_s", "taken"), [(0.0, 4), (0.01, 4), (0.04, 2), (0.06, 1), (0.2, 1), (9.0, 1)]
)
def test_a_cpu_batch_is_cut_shorter_where_rows_run_long(row_s, taken):
    limits = BatchLimits(8, instances=2, spread=True)
    one = [waiting(count=8)]
    assert decide(one, limits, 2, 10.0, 0, lambda _: row_s) == Take("a", taken)
    assert decide(one, BatchLimits(8), 2, 10.0, 0, lambda _: row_s) == Take("a", 8)


def test_the_longest_waiting_shape_goes_first_however_few():
    busy, rare = waiting("busy", 50, oldest_s=10.0), waiting("rare", 1, oldest_s=9.0)
    assert decide([busy, rare], BatchLimits(8), 1, 11.0) == Take("rare", 1)


def test_priority_goes_before_age():
    old, urgent = waiting("old", 3, 2, 1.0), waiting("urgent", 1, 1, 9.0)
    assert decide([old, urgent], BatchLimits(8, priority_levels=2), 1, 10.0) == Take("urgent", 1)


def test_a_delay_waits_for_company_until_it_expires():
    limits = BatchLimits(8, max_queue_delay_s=0.5)
    assert decide([waiting(count=3)], limits, 1, 10.2) == WaitUntil(10.5)
    assert decide([waiting(count=3)], limits, 1, 10.5) == Take("a", 3)
    assert decide([waiting(count=8)], limits, 1, 10.0) == Take("a", 8)


def test_a_preferred_size_goes_at_once_and_the_rest_waits():
    limits = BatchLimits(8, preferred_batch_sizes=(2, 4), max_queue_delay_s=0.5)
    assert decide([waiting(count=5)], limits, 1, 10.0) == Take("a", 4)
    assert decide([waiting(count=3)], limits, 1, 10.0) == Take("a", 2)
    assert decide([waiting(count=1)], limits, 1, 10.1) == WaitUntil(10.5)
    assert decide([waiting(count=1)], limits, 1, 10.6) == Take("a", 1)


def test_a_ripe_shape_is_not_held_back_by_an_older_one_that_waits_for_company():
    limits = BatchLimits(4, max_queue_delay_s=0.5)
    young_full = waiting("full", 4, oldest_s=10.2)
    assert decide([waiting("few", 1), young_full], limits, 1, 10.3) == Take("full", 4)


@pytest.mark.parametrize(
    ("default_us", "override", "asked_us", "holds_us"),
    [
        (0, True, 0, 0),
        (0, True, 50, 50),
        (100, True, 50, 50),
        (100, True, 500, 100),
        (100, False, 50, 100),
        (0, False, 50, 0),
    ],
)
def test_queue_timeouts(default_us, override, asked_us, holds_us):
    policy = QueuePolicy(default_timeout_us=default_us, allow_timeout_override=override)
    assert policy.timeout_us(asked_us) == holds_us


def test_levels():
    limits = BatchLimits(8, priority_levels=3, default_priority=2)
    assert [limits.level(p) for p in (0, 1, 3, 4)] == [2, 1, 3, 2]
    assert [BatchLimits(8).level(p) for p in (0, 1, 2, 7)] == [1, 1, 2, 2]
    assert BatchLimits(8, preserve_ordering=True).level(7) == 1
    assert BatchLimits(8, priority_levels=3).level(0) == 1


def test_cores_share_a_full_batch_too():
    limits = BatchLimits(8, instances=2, spread=True, max_queue_delay_s=0.5)
    assert decide([waiting(count=8)], limits, 2, 10.1) == Take("a", 4)
    assert decide([waiting(count=7)], limits, 2, 10.1) == WaitUntil(10.5)


def test_nothing_preferred_and_no_delay_goes_at_once():
    limits = BatchLimits(8, preferred_batch_sizes=(4,))
    assert decide([waiting(count=3)], limits, 1, 10.0) == Take("a", 3)


def test_bulk_is_what_is_below_the_default_level():
    assert [BatchLimits(8).is_bulk(p) for p in (0, 1, 2, 7)] == [False, False, True, True]
    limits = BatchLimits(8, priority_levels=3, default_priority=2)
    assert [limits.is_bulk(p) for p in (0, 1, 2, 3, 4)] == [False, False, False, True, False]
    assert not limits.rises(3)
    assert BatchLimits(8).rises(2)
    assert not BatchLimits(8).rises(1)
