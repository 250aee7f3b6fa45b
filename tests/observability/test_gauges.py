"""Gauges that are asked at every scrape."""

from prometheus_client import CollectorRegistry, generate_latest

from segserve.observability.gauges import Gauges, GaugeSource, host_gauges
from segserve.observability.host import HostLoad


def shown(sources):
    registry, gauges = CollectorRegistry(), Gauges()
    gauges.sources += sources
    registry.register(gauges)
    return generate_latest(registry).decode()


def test_sources_are_asked_each_time():
    values = iter([1.0, 2.0])
    source = GaugeSource("x", "X.", ("model",), lambda: [(("m",), next(values))])
    registry, gauges = CollectorRegistry(), Gauges()
    gauges.sources.append(source)
    registry.register(gauges)
    assert [generate_latest(registry).decode().splitlines()[-1] for _ in "ab"] == [
        'x{model="m"} 1.0',
        'x{model="m"} 2.0',
    ]


def test_the_machine(tmp_path):
    here = shown(host_gauges(HostLoad())).splitlines()
    assert any(line.startswith("nv_cpu_memory_used_bytes ") for line in here)
    lines = shown(host_gauges(HostLoad(tmp_path))).splitlines()
    assert all(line.startswith("#") for line in lines)
