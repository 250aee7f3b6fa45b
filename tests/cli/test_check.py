import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from segserve.cli.check import ModelReport, VersionReport, check_model, with_line
from segserve.cli.main import main
from segserve.core.errors import LoadFailed
from segserve.repository.pbtxt import parse_config
from segserve.repository.store import RepositoryStore


def write_model(root: Path, name: str, config: str | None = None, version: str = "1") -> Path:
    """Write y = x + 1 over float32 [N, 2]."""
    one = onnx.numpy_helper.from_array(np.ones(1, np.float32), "one")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        initializer=[one],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    folder = root / name
    (folder / version).mkdir(parents=True)
    (folder / version / "model.onnx").write_bytes(model.SerializeToString())
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    return folder


def test_a_good_repository(tmp_path, capsys):
    write_model(
        tmp_path,
        "m",
        "max_batch_size: 8\nresponse_cache { enable: true }\n"
        'parameters { key: "shape_polcy" value { string_value: "pad" } }',
    )
    write_model(tmp_path, "n")
    (tmp_path / "docs").mkdir()
    assert main(["check", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["MODEL", "VERSION", "STATE", "BATCH", "FAMILY", "INPUTS", "OUTPUTS"]
    assert out[1].split() == ["m", "1", "ok", "8", "-", "x", "FP32[2]", "y", "FP32[2]"]
    assert out[2].split()[:4] == ["n", "1", "ok", "4"]
    place = f"{tmp_path}/m/config.pbtxt:2: response_cache.enable"
    assert out[3] == f"warning: m: {place}: not honoured, it has no effect"
    assert out[4] == (
        f"warning: m: {tmp_path}/m/config.pbtxt:3: parameters[shape_polcy]: not honoured, it has "
        f"no effect: did you mean 'shape_policy'?"
    )
    assert out[5].startswith("skipped: docs: holds no model")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("max_bach_size: 8", ":1:1: unknown field 'max_bach_size'"),
        ('\ninput { name: "x" data_type: TYPE_INT8 }', ":2: input[0].data_type: 'x': got"),
        ('max_batch_size: 1 input { name: "x" dims: 3 }', "write dims: [2]"),
        (
            'max_batch_size: 1 output {\nname: "y" dims: 4\nreshape { shape: [ 3 ] } }',
            "config.pbtxt:3: output[0].reshape: got [3] for dims [4], expected as many elements",
        ),
        (
            'max_batch_size: 1 output {name: "y" dims: 3\nreshape { shape: [ 3 ] } }',
            "config.pbtxt:2: output[0].reshape.shape: 'y': got [3], expected [2]",
        ),
        ("sequence_batching {}", "models with state cannot be served"),
        (
            '\n\nparameters { key: "family" value { string_value: "sematic" } }',
            "config.pbtxt:3: parameters[family]: ",
        ),
        (
            "\ninstance_group [ { kind: KIND_GPU }, { kind: KIND_CPU } ]",
            "config.pbtxt:2: instance_group: mixes KIND_GPU and KIND_CPU",
        ),
        (
            'optimization { execution_accelerators {\ngpu_execution_accelerator: { name: "x" } } }',
            "gpu_execution_accelerator[0].name: got 'x', expected cuda, openvino, tensorrt",
        ),
        (
            '\nmodel_warmup {inputs {key: "x" value {data_type: TYPE_INT8 input_data_file: "f"}}}',
            "config.pbtxt:2: model_warmup[0].inputs[x].input_data_file: ",
        ),
    ],
)  # fmt: skip
def test_a_bad_config_is_named_with_its_line(tmp_path, capsys, config, said):
    write_model(tmp_path, "bad", config)
    write_model(tmp_path, "good")
    assert main(["check", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    errors = [line for line in captured.out.splitlines() if line.startswith("error: bad: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert captured.err.splitlines()[-1] == ("segserve check: 1 of 2 models cannot be served: bad")


GPU = "instance_group [{ kind: KIND_GPU }]"
ACCELERATOR = "optimization {{ execution_accelerators {{\n{}_execution_accelerator [{{ {} }}] }} }}"
PATH = "optimization.execution_accelerators.{}_execution_accelerator[0].name: asks for {}"


@pytest.fixture
def cpu_alone(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("config", "field", "provider"),
    [
        ("\n" + GPU, ":2: instance_group[0].kind: asks for KIND_GPU", "CUDA"),
        (
            ACCELERATOR.format("gpu", 'name: "tensorrt"'),
            ":2: " + PATH.format("gpu", "tensorrt"),
            "Tensorrt",
        ),
        (ACCELERATOR.format("gpu", 'name: "cuda"'), ":2: " + PATH.format("gpu", "cuda"), "CUDA"),
        (
            ACCELERATOR.format("cpu", 'name: "openvino"'),
            ":2: " + PATH.format("cpu", "openvino"),
            "OpenVINO",
        ),
    ],
)
@pytest.mark.usefixtures("cpu_alone")
def test_a_device_that_is_not_here_is_a_warning(tmp_path, capsys, config, field, provider):
    write_model(tmp_path, "m", config)
    assert main(["check", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (warning,) = [line for line in lines if line.startswith("warning: ")]
    assert warning.startswith(f"warning: m: {tmp_path}/m/config.pbtxt{field}, and ")
    assert "`segserve serve` on this machine would refuse it: " in warning
    assert f"the config asks for {provider}ExecutionProvider" in warning


@pytest.mark.usefixtures("cpu_alone")
def test_a_device_that_the_server_does_without_is_none(tmp_path, capsys):
    fallback = 'parameters { key: "cuda_fallback" value { string_value: "cpu" } }'
    write_model(tmp_path, "m", f"{GPU} {fallback}")
    assert main(["check", str(tmp_path)]) == 0
    assert "warning" not in capsys.readouterr().out


@pytest.mark.usefixtures("cpu_alone")
def test_an_accelerator_of_a_device_that_is_not_asked_for_has_no_effect(tmp_path, capsys):
    unused = ACCELERATOR.format("gpu", 'name: "cuda"')
    write_model(tmp_path, "n", f"instance_group [{{ kind: KIND_CPU }}] {unused}")
    assert main(["check", str(tmp_path)]) == 0
    (warning,) = [n for n in capsys.readouterr().out.splitlines() if n.startswith("warning: ")]
    assert warning.endswith("it has no effect: the model runs on the CPU, as instance_group says")


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_a_gpu_accelerator_of_the_cpu_is_an_error(tmp_path, capsys, name):
    write_model(tmp_path, "m", ACCELERATOR.format("cpu", f'name: "{name}"'))
    assert main(["check", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    (error,) = [line for line in lines if line.startswith("error: ")]
    place = f"{tmp_path}/m/config.pbtxt:2: optimization.execution_accelerators"
    assert f"{place}.cpu_execution_accelerator[0].name: got '{name}', expected openvino" in error
    assert error.endswith("which no CPU has: remove it or list it as gpu_execution_accelerator")


def test_a_corrupt_model(tmp_path, capsys):
    folder = write_model(tmp_path, "m")
    (folder / "1" / "model.onnx").write_bytes(b"rubbish")
    assert main(["check", str(tmp_path)]) == 1
    assert "model.onnx: not an ONNX model" in capsys.readouterr().out


def test_a_model_that_onnx_runtime_refuses(tmp_path, capsys):
    folder = write_model(tmp_path, "m")
    path = folder / "1" / "model.onnx"
    path.write_bytes(path.read_bytes().replace(b"Add", b"Adx"))
    assert main(["check", str(tmp_path)]) == 1
    assert "error: m: version 1: " in capsys.readouterr().out


def test_json(tmp_path, capsys):
    write_model(tmp_path, "m")
    write_model(tmp_path, "bad", "rubbish")
    assert main(["check", str(tmp_path), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["ok"] is False
    bad, good = content["models"]
    assert (bad["name"], bad["versions"], len(bad["errors"])) == ("bad", [], 1)
    assert good["errors"] == []
    assert good["versions"][0]["inputs"] == ["x FP32[2]"]
    assert good["versions"][0]["digest"].startswith("sha256:")


def test_one_model_of_many_and_one_that_is_not_there(tmp_path, capsys):
    write_model(tmp_path, "m")
    write_model(tmp_path, "bad", "rubbish")
    assert main(["check", str(tmp_path), "--model", "m"]) == 0
    assert main(["check", str(tmp_path), "--model", "nothing"]) == 1
    assert "no folder of this name" in capsys.readouterr().out


def test_a_bare_model_needs_a_name(tmp_path, capsys):
    file = write_model(tmp_path, "m") / "1" / "model.onnx"
    assert main(["check", str(file.parent)]) == 1
    assert "give --model-name" in capsys.readouterr().err
    assert main(["check", str(file), "--model-name", "named"]) == 0
    assert "named" in capsys.readouterr().out


def test_an_empty_repository(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 1
    assert "no model in" in capsys.readouterr().err


def test_wrong_usage(tmp_path, capsys):
    assert main(["check", str(tmp_path / "nothing")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["check"])
    assert caught.value.code == 2


def test_one_bad_version_does_not_hide_the_others(tmp_path):
    write_model(tmp_path, "m", "version_policy { all {} }")
    write_model(tmp_path, "m", version="2")

    def open_version(plan, version):
        if version.version == 1:
            raise LoadFailed("reason")
        return VersionReport(version.version, "", 0, (), (), "", ())

    report = check_model(RepositoryStore([tmp_path]), "m", open_version)
    opened = VersionReport(2, "", 0, (), (), "", ())
    assert report == ModelReport("m", (opened,), ("version 1: reason",))


def test_messages_about_a_parameter_get_its_line():
    config = parse_config('\nparameters { key: "scale" value { string_value: "x" } }', source="c")
    assert with_line(config, "'scale': bad") == "c:2: parameters[scale]: 'scale': bad"
    assert with_line(config, "'mean': bad") == "'mean': bad"
