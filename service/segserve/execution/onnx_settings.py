"""What ONNX Runtime is told about a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOG_FATAL = 4
"""It prints nothing among the lines of our log: errors are raised, providers in use checked."""
NO_SPINNING = {
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
    "session.force_spinning_stop": "1",
}
"""Threads that wait sleep; where a config lets them spin, they do while a run lasts."""
_GRAPH_LEVELS = {-1: "ORT_ENABLE_BASIC", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}


@dataclass(frozen=True)
class OnnxOptions:
    """How to run a model with ONNX Runtime.

    Parameters
    ----------
    cores : int
        Threads of the all-core session.
    providers : tuple of (name, options)
        Execution providers in order of preference, without the CPU's, which is always last.
    allow_cpu_fallback : bool
        Run on the CPU when a provider is not there, instead of failing to load.
    device_id : int
        Which accelerator.
    graph_level : int or None
        Triton's ``optimization.graph.level`` as its ONNX Runtime backend reads it
        (onnxruntime_backend src/onnxruntime.cc): -1 basic, 1 extended, 2 none; anything else, and
        None, all.
    intra_op_threads : int
        0: one session of one thread and one of `cores`; else one session of this many threads.
    inter_op_threads : int
        With `parallel`: nodes that run side by side.
    parallel : bool
        Nodes that do not depend on each other run side by side; without memory patterns then.
    config_entries : Mapping
        Session configuration entries by ONNX Runtime's names.
    """

    cores: int
    providers: tuple[tuple[str, Mapping[str, str]], ...] = ()
    allow_cpu_fallback: bool = False
    device_id: int = 0
    graph_level: int | None = None
    intra_op_threads: int = 0
    inter_op_threads: int = 1
    parallel: bool = False
    enable_mem_arena: bool = True
    enable_mem_pattern: bool = True
    config_entries: Mapping[str, str] = field(default_factory=dict)


def session_options(runtime: Any, options: OnnxOptions, threads: int) -> Any:
    """Give a session's settings.

    Threads that wait do not spin, which would take the cores of what else has work, unless the
    config says so (``session.intra_op.allow_spinning``).

    Parameters
    ----------
    runtime : module
        ``onnxruntime``.
    threads : int
        Of the session.

    Returns
    -------
    onnxruntime.SessionOptions
    """
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = options.inter_op_threads
    mode = "ORT_PARALLEL" if options.parallel else "ORT_SEQUENTIAL"
    settings.execution_mode = getattr(runtime.ExecutionMode, mode)
    settings.log_severity_level = LOG_FATAL
    settings.enable_cpu_mem_arena = options.enable_mem_arena
    settings.enable_mem_pattern = options.enable_mem_pattern and not options.parallel
    for name, value in {**NO_SPINNING, **options.config_entries}.items():
        settings.add_session_config_entry(name, value)
    level = _GRAPH_LEVELS.get(options.graph_level or 0, "ORT_ENABLE_ALL")
    settings.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level)
    return settings
