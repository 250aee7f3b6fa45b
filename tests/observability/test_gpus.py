"""What the GPUs do: NVML's answers under Triton's names, and drivers that do not answer."""
# ruff: noqa: N802  NVML's names

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from segserve.observability import gpus
from segserve.observability.gpus import EnergyMeter, GpuState, GpuWatch, load_nvml, look
from segserve.observability.metrics import Metrics


class NVMLError(Exception):
    pass


class Nvml:
    """Two GPUs of a driver; the second does not tell its use and its energy."""

    NVMLError = NVMLError

    def __init__(self):
        self.energy_mj = 5_000
        self.count = 2
        self.works = True
        self.hangs = None

    def nvmlInit(self):
        if not self.works:
            raise NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self):
        self.nvmlInit()
        if self.hangs is not None:
            self.hangs.wait(10)
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetUUID(self, device):
        return f"GPU-{device}"

    def nvmlDeviceGetUtilizationRates(self, device):
        if device == 1:
            raise NVMLError("Not Supported")
        return SimpleNamespace(gpu=42, memory=7)

    def nvmlDeviceGetMemoryInfo(self, device):
        return SimpleNamespace(total=1 << 34, free=(1 << 34) - 1000, used=1000)

    def nvmlDeviceGetPowerUsage(self, device):
        return 81_500

    def nvmlDeviceGetEnforcedPowerLimit(self, device):
        return 300_000

    def nvmlDeviceGetTotalEnergyConsumption(self, device):
        if device == 1:
            raise NVMLError("Not Supported")
        return self.energy_mj


@pytest.fixture
def nvml(monkeypatch):
    made = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    return made


@pytest.fixture
def watch(nvml):
    made = GpuWatch(interval_s=0.01)
    yield made
    made.stop()
    made._thread.join(10)


def until(condition):
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("waited for ten seconds")


def test_units(nvml):
    first, second = look(nvml)
    assert first == GpuState("GPU-0", 0.42, 1 << 34, 1000, 81.5, 300.0, 5.0)
    assert second == GpuState("GPU-1", None, 1 << 34, 1000, 81.5, 300.0, None)


def test_without_bindings_driver_or_gpu_there_is_nothing(monkeypatch, nvml, caplog):
    assert load_nvml() is nvml
    with caplog.at_level("INFO"):
        nvml.count = 0
        assert load_nvml() is None
        nvml.works = False
        assert load_nvml() is None
    assert [r.reason for r in caplog.records] == ["no GPU is visible", "Driver Not Loaded"]
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert load_nvml() is None


def test_the_real_bindings_without_a_gpu_say_why(caplog):
    with caplog.at_level("INFO"):
        if load_nvml() is not None:
            pytest.skip("an NVIDIA GPU is here: the test marked gpu looks at it")
    (record,) = caplog.records
    assert record.message == "gpu_metrics_off"
    assert record.reason  # which one differs: no library, no driver, no GPU


def test_the_watch_looks_again_and_again(nvml, watch):
    assert watch.states() == ()
    watch.start()
    until(watch.states)
    nvml.energy_mj = 6_000
    until(lambda: watch.states()[0].energy_j == 1.0)


@pytest.mark.parametrize("error", [NVMLError("Driver Not Loaded"), AttributeError("old bindings")])
def test_a_driver_that_fails_is_told_once_and_asked_again(nvml, watch, caplog, error):
    asked = []

    def fail():
        asked.append(1)
        raise error

    watch.start()
    until(watch.states)
    for energy_mj in (7_000, 9_000):
        nvml.nvmlDeviceGetCount = fail
        asked.clear()
        until(lambda: len(asked) > 3)
        del nvml.nvmlDeviceGetCount
        nvml.energy_mj = energy_mj
        until(lambda j=energy_mj / 1000 - 5: watch.states()[0].energy_j == j)
    told = [r.reason for r in caplog.records if r.message == "gpu_metrics_failed"]
    assert told == [f"{type(error).__name__}: {error}"] * 2


def test_old_states_are_not_shown(nvml, watch, monkeypatch):
    monkeypatch.setattr(gpus, "_STALE_S", 0.2)
    watch.start()
    until(watch.states)
    nvml.hangs = threading.Event()
    until(lambda: not watch.states())
    nvml.hangs.set()
    until(watch.states)


def test_metrics_have_tritons_names():
    metrics = Metrics()
    assert "nv_gpu" not in metrics.render().decode()
    states = [GpuState("GPU-0", 0.5, 100, 40, 80.0, 300.0, 1.5)]
    metrics.add_gpus(lambda: states)
    text = metrics.render().decode()
    of_gpu = {line for line in text.splitlines() if line.startswith("nv_gpu")}
    assert of_gpu == {
        f'nv_gpu_{name}{{gpu_uuid="GPU-0"}} {value}'
        for name, value in {
            "utilization": "0.5",
            "memory_total_bytes": "100.0",
            "memory_used_bytes": "40.0",
            "power_usage": "80.0",
            "power_limit": "300.0",
        }.items()
    }
    assert 'nv_energy_consumption{gpu_uuid="GPU-0"} 1.5\n' in text
    assert "# TYPE nv_energy_consumption counter" in text


def test_energy_counts_from_the_first_look_and_never_falls():
    meter = EnergyMeter()
    used = []
    for told_j in (5.0, 6.5, None, 1.0, 2.0):  # a driver that was loaded again has forgotten
        (state,) = meter.since_begin([GpuState("GPU-0", 0.5, 100, 40, 80.0, 300.0, told_j)])
        used.append(state.energy_j)
    assert used == [0.0, 1.5, None, 1.5, 2.5]


@pytest.mark.gpu
def test_a_real_gpu_agrees_with_nvidia_smi():
    fields = "uuid,memory.total,power.limit"
    told = subprocess.run(
        ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    states = {state.uuid: state for state in look(load_nvml())}
    for line in told.splitlines():
        uuid, memory_mib, limit_w = line.split(", ")
        assert states[uuid].memory_total_bytes == pytest.approx(float(memory_mib) * 2**20, rel=0.01)
        assert states[uuid].power_limit_w == pytest.approx(float(limit_w), abs=1)
        assert 0 <= states[uuid].utilization <= 1
