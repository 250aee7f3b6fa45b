"""What the GPUs do: NVML's answers under Triton's names, and drivers that do not answer."""
# ruff: noqa: N802  NVML's names

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from segserve.observability import gpus
from segserve.observability.gpus import GpuState, GpuWatch, load_nvml, look
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
    nvml.count = 0
    assert load_nvml() is None
    nvml.works = False
    with caplog.at_level("INFO"):
        assert load_nvml() is None
    assert caplog.records[-1].reason == "Driver Not Loaded"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert load_nvml() is None


def test_the_real_bindings_without_a_driver(caplog):
    with caplog.at_level("INFO"):
        if load_nvml() is not None:
            pytest.skip("an NVIDIA GPU is here: the test marked gpu looks at it")
    assert caplog.records[-1].reason == "NVML Shared Library Not Found"


def test_the_watch_looks_again_and_again(nvml, watch):
    assert watch.states() == ()
    watch.start()
    until(watch.states)
    nvml.energy_mj = 6_000
    until(lambda: watch.states()[0].energy_j == 6.0)


def test_a_driver_that_fails_is_told_and_asked_again(nvml, watch, caplog):
    watch.start()
    until(watch.states)
    nvml.works = False
    until(lambda: "gpu_metrics_failed" in caplog.messages)
    nvml.works, nvml.energy_mj = True, 7_000
    until(lambda: watch.states()[0].energy_j == 7.0)


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
    states = []
    metrics.add_gpus(lambda: states)
    seen = []
    for energy_j in (5.0, 6.5, 1.0, 2.0):
        states[:] = [GpuState("GPU-0", 0.5, 100, 40, 80.0, 300.0, energy_j)]
        text = metrics.render().decode()
        seen += [line for line in text.splitlines() if line.startswith("nv_energy")]
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
    # From the first look on; what a driver that was loaded again has forgotten takes nothing away.
    assert seen == [
        f'nv_energy_consumption{{gpu_uuid="GPU-0"}} {j}' for j in ("0", "1.5", "1.5", "2.5")
    ]
    assert "# TYPE nv_energy_consumption counter" in text


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
