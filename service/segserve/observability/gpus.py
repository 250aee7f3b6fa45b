"""What NVIDIA's GPUs do, as the driver's management library (NVML) tells it.

Its Python bindings (``nvidia-ml-py``) come with the gpu extra. Triton's ``nv_gpu_*`` metrics are
taken from the same library.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
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
        Since the driver was loaded.
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
        return nvml if nvml.nvmlDeviceGetCount() else None
    except nvml.NVMLError as error:
        log.info("gpu_metrics_off", extra={"reason": str(error)})
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
        while nvml is not None:
            try:
                self._seen = (time.monotonic(), look(nvml))
            except nvml.NVMLError as error:
                log.warning("gpu_metrics_failed", extra={"reason": str(error)})
            if self._ended.wait(self._interval_s):
                return
