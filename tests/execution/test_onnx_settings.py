"""What a session is told."""

import onnxruntime

from segserve.execution.onnx_settings import OnnxOptions, session_options


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


def test_threads_that_wait_sleep_unless_the_config_says_otherwise():
    spinning = ("session.intra_op.allow_spinning", "session.inter_op.allow_spinning")
    for threads in (1, 2):
        settings = session_options(onnxruntime, OnnxOptions(cores=2), threads)
        assert [settings.get_session_config_entry(name) for name in spinning] == ["0", "0"]
    asked = OnnxOptions(cores=2, config_entries={spinning[0]: "1"})
    settings = session_options(onnxruntime, asked, 2)
    assert [settings.get_session_config_entry(name) for name in spinning] == ["1", "0"]
    assert settings.get_session_config_entry("session.force_spinning_stop") == "1"
