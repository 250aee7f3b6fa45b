"""Seconds a row."""

from segserve.scheduling.row_times import RowTimes


def test_a_new_bucket_is_as_the_last_run_was():
    times = RowTimes(0.3)
    assert times.row_s("a") == 0.3
    times.seen("a", 0.1)
    times.seen("b", 0.2)
    assert [times.row_s(bucket) for bucket in "abc"] == [0.1, 0.2, 0.2]
    times.seen("a", 0.4)
    assert [times.row_s(bucket) for bucket in "abc"] == [0.4, 0.2, 0.4]


def test_what_was_not_seen_for_long_is_forgotten():
    times = RowTimes()
    times.seen("old", 1.0)
    times.seen("used", 2.0)
    for bucket in range(255):
        times.seen(bucket, 0.1)
        times.seen("used", 2.0)
    assert times.row_s("used") == 2.0
    assert times.row_s(254) == 0.1
    times.seen("last", 0.5)
    assert times.row_s("old") == 0.5
