"""Quantiles of what was seen in the last minute, which ``prometheus_client`` has none of.

Values are counted in buckets that grow by a constant factor, so that the middle of a bucket is
within 1 % of every value in it: Masson, Rim and Lee, "DDSketch", VLDB 2019, sections 2.1 and 2.2.
Six such counts of ten seconds each make the window. One thread writes, the event loop's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from math import ceil, log, nan

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from typing_extensions import override

WINDOW_S = 60.0
_STEPS = 6
_STEP_S = WINDOW_S / _STEPS
_ACCURACY = 0.01
_FACTOR = (1 + _ACCURACY) / (1 - _ACCURACY)
_TO_BUCKET = 1 / log(_FACTOR)
_LAST = ceil(log(1e12) * _TO_BUCKET)  # 1382 buckets at most: 11 days in microseconds


class Summary:
    """Counts of the last minute's values, and count and sum of all.

    Parameters
    ----------
    clock : callable
        Seconds that never go back.
    """

    __slots__ = ("_clock", "_steps", "count", "total")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: dict[int, dict[int, int]] = {}
        self.count = 0
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value, 0 or more; below 1 all are alike. Always on the same thread."""
        bucket = min(ceil(log(value) * _TO_BUCKET), _LAST) if value > 1.0 else 0
        step = int(self._clock() / _STEP_S)
        counts = self._steps.get(step)
        if counts is None:
            self._forget(step)
            counts = self._steps[step] = {}
        counts[bucket] = counts.get(bucket, 0) + 1
        self.count += 1
        self.total += value

    def quantiles(self, wanted: Sequence[float]) -> list[float]:
        """Give the value at each quantile, 0 to 1; NaN where a minute has seen none."""
        self._forget(int(self._clock() / _STEP_S))
        together: dict[int, int] = {}
        for counts in self._steps.values():
            for bucket, number in counts.items():
                together[bucket] = together.get(bucket, 0) + number
        ordered, size = sorted(together.items()), sum(together.values())
        return [_value_at(quantile * (size - 1), ordered) if size else nan for quantile in wanted]

    def _forget(self, now: int) -> None:
        for step in [step for step in self._steps if step <= now - _STEPS]:
            del self._steps[step]


def _value_at(rank: float, ordered: Sequence[tuple[int, int]]) -> float:
    seen = 0
    for bucket, number in ordered:
        seen += number
        if seen > rank:
            return _middle(bucket)
    return _middle(ordered[-1][0])


def _middle(bucket: int) -> float:
    return 2 * _FACTOR**bucket / (_FACTOR + 1) if bucket else 0.0


class Summaries(Collector):
    """One summary for each set of label values.

    Parameters
    ----------
    name, text : str
        What Prometheus shows.
    label_names : sequence of str
    quantiles : sequence of float
    """

    def __init__(
        self, name: str, text: str, label_names: Sequence[str], quantiles: Sequence[float]
    ) -> None:
        self._name, self._text = name, text
        self._label_names = tuple(label_names)
        self._quantiles = tuple(quantiles)
        self._names = tuple(map(floatToGoString, quantiles))
        self._series: dict[tuple[str, ...], Summary] = {}

    def labels(self, *values: str) -> Summary:
        """Give the summary of these label values; it is shown from now on."""
        return self._series.setdefault(values, Summary())

    @override
    def collect(self) -> Iterable[Metric]:
        family = Metric(self._name, self._text, "summary")
        for values, series in self._series.items():
            labels = dict(zip(self._label_names, values, strict=True))
            found = series.quantiles(self._quantiles)
            for name, value in zip(self._names, found, strict=True):
                family.add_sample(self._name, {**labels, "quantile": name}, value)
            family.add_sample(self._name + "_count", labels, series.count)
            family.add_sample(self._name + "_sum", labels, series.total)
        yield family
