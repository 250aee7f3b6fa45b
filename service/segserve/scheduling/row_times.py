"""How long a model runs for one row: what a batch on the CPU is cut by."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

_MOST_BUCKETS = 256


class RowTimes:
    """Seconds a row, by bucket, as last seen; of a bucket that is new, those of the last run.

    Parameters
    ----------
    first_s : float
        Before anything has run; 0 where nobody knows.
    """

    def __init__(self, first_s: float = 0.0) -> None:
        self._last_s = first_s
        self._by_bucket: OrderedDict[Hashable, float] = OrderedDict()

    def seen(self, bucket: Hashable, row_s: float) -> None:
        """Take note of a run."""
        self._last_s = self._by_bucket[bucket] = row_s
        self._by_bucket.move_to_end(bucket)
        if len(self._by_bucket) > _MOST_BUCKETS:
            self._by_bucket.popitem(last=False)

    def row_s(self, bucket: Hashable) -> float:
        """Give the seconds that a row of `bucket` may take."""
        return self._by_bucket.get(bucket, self._last_s)
