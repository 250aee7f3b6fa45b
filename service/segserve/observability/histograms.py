"""Histograms that cost a fraction of a microsecond an observation.

``prometheus_client``'s take a lock and walk over the buckets, several microseconds for each of the
ten observations of a request; these are written by one thread, the event loop's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import inf

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from typing_extensions import override


class Histogram:
    """Counts by bucket, and a sum.

    Parameters
    ----------
    bounds : sequence of float
        Upper bounds of the buckets, inclusive, ascending; one without a bound follows.
    """

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value; always on the same thread."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Give for each bound, written as Prometheus does, how many values are not over it."""
        names = map(floatToGoString, (*self._bounds, inf))
        return list(zip(names, accumulate(self._counts), strict=True))

    @property
    def total(self) -> float:
        """The sum of all values."""
        return self._sum


class Histograms(Collector):
    """One histogram for each set of label values.

    Parameters
    ----------
    name, text : str
        What Prometheus shows.
    label_names : sequence of str
    bounds : sequence of float
    """

    def __init__(
        self, name: str, text: str, label_names: Sequence[str], bounds: Sequence[float]
    ) -> None:
        self._name, self._text = name, text
        self._label_names = tuple(label_names)
        self._bounds = tuple(bounds)
        self._series: dict[tuple[str, ...], Histogram] = {}

    def labels(self, *values: str) -> Histogram:
        """Give the histogram of these label values; it is shown from now on."""
        return self._series.setdefault(values, Histogram(self._bounds))

    @override
    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._label_names)
        for values, series in self._series.items():
            family.add_metric(values, series.cumulative(), series.total)
        yield family
