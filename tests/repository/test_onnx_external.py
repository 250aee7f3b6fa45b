import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from segserve.core.errors import LoadFailed
from segserve.repository import onnx_external
from segserve.repository.onnx_external import external_locations


def tensor(location, name="w"):
    made = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    made.data_location = TensorProto.EXTERNAL
    made.external_data.add(key="offset", value="0")
    made.external_data.add(key="location", value=location)
    return made


def written(tmp_path, model):
    path = tmp_path / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def graph(*nodes, initializers=()):
    return helper.make_graph(list(nodes), "g", [], [], initializer=list(initializers))


def test_weights_elsewhere_are_named_once(tmp_path):
    inner = graph(initializers=[tensor("inner.bin")])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    constant = helper.make_node("Constant", [], ["z"], value=tensor("constant.bin"))
    outer = graph(branch, constant, initializers=[tensor("a.bin"), tensor("a.bin", "v")])
    function = helper.make_function("d", "F", [], ["z"], [constant], [])
    sparse = onnx.SparseTensorProto(dims=[1])
    sparse.values.CopyFrom(tensor("sparse.bin"))
    outer.sparse_initializer.append(sparse)
    model = helper.make_model(outer, functions=[function])
    model.training_info.add().algorithm.CopyFrom(graph(initializers=[tensor("train.bin")]))
    want = {"a.bin", "inner.bin", "constant.bin", "sparse.bin", "train.bin"}
    found = external_locations(written(tmp_path, model))
    assert set(found) == want
    assert len(found) == len(want)


def test_a_model_by_itself_names_none(tmp_path):
    weights = onnx.numpy_helper.from_array(np.zeros((100, 100), np.float32), "w")
    path = written(tmp_path, helper.make_model(graph(initializers=[weights])))
    assert external_locations(path) == ()


def test_the_table_knows_every_way_to_a_tensor():
    """Each message of onnx.proto that can hold a TensorProto is stepped into."""
    table = {f"onnx.{kind}": fields for kind, fields in onnx_external._CHILDREN.items()}
    seen, waiting = set(), [onnx.ModelProto.DESCRIPTOR]
    messages = {}
    while waiting:
        message = waiting.pop()
        if message.full_name not in seen:
            seen.add(message.full_name)
            messages[message.full_name] = message
            waiting += [f.message_type for f in message.fields if f.message_type]
    leads = {"onnx.TensorProto"}
    while True:
        more = {
            name
            for name, message in messages.items()
            if any(f.message_type and f.message_type.full_name in leads for f in message.fields)
        }
        if more <= leads:
            break
        leads |= more
    for name in leads - {"onnx.TensorProto"}:
        fields = messages[name].fields
        ways = {f.number for f in fields if f.message_type and f.message_type.full_name in leads}
        assert ways == set(table[name]), name


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish, not a model",
        b"\x3a\xff\x01",
        b"\x3a",
        b"\x0b\x0c",
        b"\x00\x01",
        b"\x08" + b"\xff" * 11,
        b"<!DOCTYPE html><html>404</html>",
    ],
)
def test_other_files_are_refused(tmp_path, content):
    with pytest.raises(LoadFailed, match=r"model\.onnx: (not an ONNX model|empty file)"):
        external_locations(written(tmp_path, content))


def test_a_truncated_model_is_refused(tmp_path):
    model = helper.make_model(graph(initializers=[tensor("a.bin")])).SerializeToString()
    with pytest.raises(LoadFailed, match="is the file complete"):
        external_locations(written(tmp_path, model[:-5]))


def test_nesting_is_bounded(tmp_path):
    content = b""
    for _ in range(60):
        content = b"\x32" + _varint(len(content)) + content  # AttributeProto.g
        content = b"\x2a" + _varint(len(content)) + content  # NodeProto.attribute
        content = b"\x0a" + _varint(len(content)) + content  # GraphProto.node
    with pytest.raises(LoadFailed, match="nested deeper"):
        external_locations(written(tmp_path, b"\x3a" + _varint(len(content)) + content))


def _varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


@settings(max_examples=300)
@given(st.binary(min_size=1, max_size=200))
def test_hostile_bytes_give_an_answer_or_load_failed(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "hostile.onnx"
    path.write_bytes(content)
    with contextlib.suppress(LoadFailed):
        assert isinstance(external_locations(path), tuple)


def test_a_missing_file(tmp_path):
    with pytest.raises(LoadFailed, match="cannot be read"):
        external_locations(tmp_path / "nothing.onnx")
