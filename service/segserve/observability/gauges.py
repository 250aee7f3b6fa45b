"""Gauges whose values are asked for at every scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from segserve.observability.gpus import GpuState
from segserve.observability.host import HostLoad

Rows = list[tuple[tuple[str, ...], float]]


@dataclass(frozen=True)
class GaugeSource:
    """A gauge whose value is asked for at scrape time.

    Parameters
    ----------
    read : callable
        Gives (label values, value) pairs.
    """

    name: str
    help: str
    label_names: tuple[str, ...]
    read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]


class Gauges(Collector):
    """Asks its sources."""

    def __init__(self) -> None:
        self.sources: list[GaugeSource] = []

    @override
    def collect(self) -> Iterable[Metric]:
        for source in self.sources:
            family = GaugeMetricFamily(source.name, source.help, labels=source.label_names)
            for labels, value in source.read():
                family.add_metric(labels, value)
            yield family


def host_gauges(load: HostLoad) -> list[GaugeSource]:
    """Give Triton's gauges of the machine; without values where the system does not tell."""

    def plain(name: str, text: str, read: Callable[[], float | None]) -> GaugeSource:
        def rows() -> Rows:
            value = read()
            return [] if value is None else [((), value)]

        return GaugeSource(name, text, (), rows)

    def memory(part: int) -> Callable[[], float | None]:
        def read() -> float | None:
            told = load.memory_bytes()
            return None if told is None else float(told[part])

        return read

    return [
        plain(
            "nv_cpu_utilization",
            "Part of the machine's cores, 0 to 1, that was used since the last look",
            load.cpu_utilization,
        ),
        plain("nv_cpu_memory_total_bytes", "Memory of the machine, in bytes", memory(0)),
        plain("nv_cpu_memory_used_bytes", "Memory of the machine in use, in bytes", memory(1)),
    ]


def gpu_gauges(states: Callable[[], Iterable[GpuState]]) -> list[GaugeSource]:
    """Give Triton's gauges of the GPUs; a GPU has no value where it does not tell."""

    def of_each(name: str, text: str, field: str) -> GaugeSource:
        def rows() -> Rows:
            told = ((state.uuid, getattr(state, field)) for state in states())
            return [((uuid,), value) for uuid, value in told if value is not None]

        return GaugeSource(name, text, ("gpu_uuid",), rows)

    return [
        of_each(
            "nv_gpu_utilization", "Part of the time, 0 to 1, the GPU was in use", "utilization"
        ),
        of_each("nv_gpu_memory_total_bytes", "Memory of the GPU, in bytes", "memory_total_bytes"),
        of_each(
            "nv_gpu_memory_used_bytes", "Memory of the GPU in use, in bytes", "memory_used_bytes"
        ),
        of_each("nv_gpu_power_usage", "Power the GPU draws, in watts", "power_usage_w"),
        of_each("nv_gpu_power_limit", "Power the GPU may draw, in watts", "power_limit_w"),
    ]
