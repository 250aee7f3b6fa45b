"""What NVIDIA's GPUs do, as the driver's management library (NVML) tells it.

Its Python bindings (``nvidia-ml-py``) come with the gpu extra. Triton's ``nv_gpu_*`` metrics are
taken from the same library.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

log = logging.getLogger(__name__)
_INTERVAL_S = 2.0  # Triton's --metrics-interval-ms
_STALE_S = 10.0  # a driver that hangs tells nothing new
_PER_CENT, _MILLI = 1e-2, 1e-3


@dataclass(frozen=True)
class GpuState:
    """One GPU at one moment; None is what this GPU does not tell (its use while under MIG, say).

    Parameters
    ----------
    uuid : str
        As ``nvidia-smi -L`` has it.
    utilization : float or None
        Part of the last moments (a sixth to one second) in which the GPU ran anything, 0 to 1.
    memory_total_bytes, memory_used_bytes : float or None
    power_usage_w, power_limit_w : float or None
    energy_j : float or None
        Since the driver was loaded, from `look`; since the watch began, from `GpuWatch`.
    """

    uuid: str
    utilization: float | None
    memory_total_bytes: float | None
    memory_used_bytes: float | None
    power_usage_w: float | None
    power_limit_w: float | None
    energy_j: float | None


def load_nvml() -> Any | None:
    """Give NVML's bindings, initialised; None where they, the driver or a GPU are not there."""
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        if nvml.nvmlDeviceGetCount():
            return nvml
        reason = "no GPU is visible"
    except nvml.NVMLError as error:
        reason = str(error)
    log.info("gpu_metrics_off", extra={"reason": reason})
    return None


def look(nvml: Any) -> tuple[GpuState, ...]:
    """Ask for the state of all GPUs that the driver shows to this process; may take milliseconds.

    Raises
    ------
    NVMLError
        When the driver has gone.
    """
    devices = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    return tuple(_state(nvml, device) for device in devices)


def _state(nvml: Any, device: Any) -> GpuState:
    def told(ask: Callable[[Any], Any], scale: float = 1.0, field: str | None = None) -> Any:
        try:
            answer = ask(device)
        except nvml.NVMLError:  # not supported by this GPU, or not allowed to this user
            return None
        return scale * (answer if field is None else getattr(answer, field))

    return GpuState(
        uuid=nvml.nvmlDeviceGetUUID(device),
        utilization=told(nvml.nvmlDeviceGetUtilizationRates, _PER_CENT, "gpu"),
        memory_total_bytes=told(nvml.nvmlDeviceGetMemoryInfo, field="total"),
        memory_used_bytes=told(nvml.nvmlDeviceGetMemoryInfo, field="used"),
        power_usage_w=told(nvml.nvmlDeviceGetPowerUsage, _MILLI),
        power_limit_w=told(nvml.nvmlDeviceGetEnforcedPowerLimit, _MILLI),
        energy_j=told(nvml.nvmlDeviceGetTotalEnergyConsumption, _MILLI),
    )


class EnergyMeter:
    """Counts from the first look what the driver counts since it was loaded."""

    def __init__(self) -> None:
        self._told_j: dict[str, float] = {}
        self._used_j: dict[str, float] = {}

    def since_begin(self, states: Iterable[GpuState]) -> tuple[GpuState, ...]:
        """Give the states with `energy_j` since the first of each GPU; it never falls."""
        return tuple(self._counted(state) for state in states)

    def _counted(self, state: GpuState) -> GpuState:
        if state.energy_j is None:
            return state
        more_j = state.energy_j - self._told_j.get(state.uuid, state.energy_j)
        self._told_j[state.uuid] = state.energy_j
        used_j = self._used_j.get(state.uuid, 0.0) + max(0.0, more_j)  # less: a driver loaded anew
        self._used_j[state.uuid] = used_j
        return replace(state, energy_j=used_j)


class GpuWatch:
    """Looks at the GPUs every two seconds, on a thread of its own: a driver can take its time.

    Parameters
    ----------
    load : callable
        Gives NVML's bindings or None, then there is nothing to watch; on that thread, too.
    interval_s : float
    """

    def __init__(
        self, load: Callable[[], Any | None] = load_nvml, interval_s: float = _INTERVAL_S
    ) -> None:
        self._load = load
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._seen: tuple[float, tuple[GpuState, ...]] = (0.0, ())
        self._energy = EnergyMeter()
        self._thread = threading.Thread(target=self._watch, name="segserve-gpus", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer; a look that hangs is not waited for."""
        self._ended.set()

    def states(self) -> tuple[GpuState, ...]:
        """Give the last states; none when they are over ten seconds old."""
        at_s, states = self._seen
        return states if time.monotonic() - at_s < _STALE_S else ()

    def _watch(self) -> None:
        nvml = self._load()
        failing = False
        while nvml is not None:
            try:
                self._seen = (time.monotonic(), self._energy.since_begin(look(nvml)))
                failing = False
            except Exception as error:  # noqa: BLE001  whatever the bindings do, the watch goes on
                if not failing:
                    reason = f"{type(error).__name__}: {error}"
                    log.warning("gpu_metrics_failed", extra={"reason": reason})
                failing = True
            if self._ended.wait(self._interval_s):
                return
