"""What a session is told."""

import onnxruntime

from segserve.execution.onnx_settings import OnnxOptions, session_options

SPINNING = ("session.intra_op.allow_spinning", "session.force_spinning_stop")


def test_the_graph_levels_are_tritons():
    levels = {
        level: session_options(
            onnxruntime, OnnxOptions(cores=1, graph_level=level), 1
        ).graph_optimization_level.name
        for level in (None, -1, 1, 2)
    }
    assert levels == {
        None: "ORT_ENABLE_ALL",
        -1: "ORT_ENABLE_BASIC",
        1: "ORT_ENABLE_EXTENDED",
        2: "ORT_DISABLE_ALL",
    }


def test_nodes_side_by_side():
    options = OnnxOptions(cores=2, parallel=True, inter_op_threads=2)
    settings = session_options(onnxruntime, options, 1)
    assert settings.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert (settings.inter_op_num_threads, settings.enable_mem_pattern) == (2, False)
    settings = session_options(onnxruntime, OnnxOptions(cores=2), 1)
    assert settings.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL


def test_threads_spin_where_nobody_else_needs_the_core_and_no_longer_than_a_run():
    shared = session_options(onnxruntime, OnnxOptions(cores=2), 1)
    assert [shared.get_session_config_entry(name) for name in SPINNING] == ["0", "0"]
    alone = session_options(onnxruntime, OnnxOptions(cores=2), 2, has_the_cores=True)
    assert [alone.get_session_config_entry(name) for name in SPINNING] == ["1", "1"]
    asked = OnnxOptions(cores=2, config_entries={SPINNING[0]: "0"})
    alone = session_options(onnxruntime, asked, 2, has_the_cores=True)
    assert alone.get_session_config_entry(SPINNING[0]) == "0"
