import argparse
import collections
import io
import os
import pickle
import struct

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import InvalidInput
from segserve.export.records import ArrayRecord, PlainDict, PlainNamespace, TensorRecord
from segserve.export.unpickler import AllowListUnpickler


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Stranger:
    """Not on the list."""


def load(data: bytes):
    return AllowListUnpickler(io.BytesIO(data)).load()


def global_(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_attacks_are_named_and_not_run(tmp_path, protocol: int) -> None:
    witness = tmp_path / "witness"
    attacks = {
        rf"{os.system.__module__}\.system": Calls(os.system, f"touch {witness}"),
        r"builtins\.eval": Calls(eval, f"open({str(witness)!r}, 'w')"),
        r"builtins\.exec": Calls(exec, f"open({str(witness)!r}, 'w')"),
        r"io\.open": Calls(open, str(witness), "w"),
        r"builtins\.getattr": Calls(getattr, "x", "upper"),
    }
    for name, attack in attacks.items():
        for tree in (attack, {"model_state": {}, "epoch": [attack]}):
            with pytest.raises(InvalidInput, match=name):
                load(pickle.dumps(tree, protocol))
    assert not witness.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("codecs", "decode"),
        ("_codecs", "decode"),
        ("torch", "load"),
        ("torch.serialization", "load"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("collections", "OrderedDict.fromkeys"),
        ("numpy", "fromfile"),
        ("copyreg", "_reconstructor"),
        ("no_such_module", "x"),
    ],
)
def test_names_outside_the_list(module: str, name: str) -> None:
    with pytest.raises(InvalidInput, match=rf"'{module}\.{name}'.*not allowed"):
        load(global_(module, name) + b".")
    stack_global = (
        pickle.PROTO
        + b"\x04"
        + b"".join(
            pickle.SHORT_BINUNICODE + struct.pack("<B", len(s)) + s.encode() for s in (module, name)
        )
    )
    with pytest.raises(InvalidInput, match=rf"'{module}\.{name}'.*not allowed"):
        load(stack_global + pickle.STACK_GLOBAL + b".")


@pytest.mark.parametrize(
    "tree",
    [Calls(Stranger), [Stranger()], {"args": Stranger}, collections.UserDict()],
    ids=["call", "instance", "class", "library class"],
)
def test_unknown_classes_are_refused_by_name(tree) -> None:
    with pytest.raises(InvalidInput, match=r"Stranger|UserDict"):
        load(pickle.dumps(tree))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_flags_of_a_training_script_are_dropped(protocol: int) -> None:
    flags = argparse.Namespace(lr=0.1, weights=None, milestones=[1, 2])
    told = load(pickle.dumps({"args": flags, "epoch": 3}, protocol))
    assert told["epoch"] == 3
    assert type(told["args"]) is PlainNamespace
    assert not hasattr(told["args"], "lr")
    with pytest.raises(InvalidInput, match=r"(posix|nt)\.system"):
        load(pickle.dumps(argparse.Namespace(x=Calls(os.system, "true")), protocol))


@pytest.mark.parametrize(
    "tail",
    [
        pickle.EMPTY_DICT + pickle.BUILD,
        pickle.EMPTY_DICT + pickle.TUPLE1 + pickle.REDUCE,
        pickle.EMPTY_DICT + pickle.TUPLE1 + pickle.NEWOBJ,
    ],
)
def test_the_class_of_flags_can_be_neither_changed_nor_given_anything(tail: bytes) -> None:
    before = dict(vars(PlainNamespace))
    with pytest.raises(InvalidInput, match="no readable pickle"):
        load(b"\x80\x02" + global_("argparse", "Namespace") + tail + b".")
    assert dict(vars(PlainNamespace)) == before


def test_only_latin1_is_encoded() -> None:
    assert load(pickle.dumps({"x": b"\xff\x00"}, 2))["x"] == b"\xff\x00"
    rot13 = global_("_codecs", "encode") + b"(Vabc\nVrot13\ntR."
    with pytest.raises(InvalidInput, match="'rot13'"):
        load(rot13)


def test_stand_ins_cannot_be_changed() -> None:
    encode = global_("_codecs", "encode")
    for state in (b"}Vname\nVx\ns", b"}", b"(N}Vname\nVx\nst"):
        with pytest.raises(InvalidInput, match="tries to change"):
            load(encode + state + b"b.")


def test_names_that_are_never_called_cannot_be_called() -> None:
    with pytest.raises(InvalidInput, match=r"tries to call builtins\.int"):
        load(global_("builtins", "int") + b"(V7\ntR.")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers(protocol: int) -> None:
    tree = {
        "ordered": collections.OrderedDict(a=1),
        "default": collections.defaultdict(list, b=[2]),
        "counter": collections.Counter("aab"),
        "set": {1, 2},
        "frozen": frozenset({3}),
        "bytes": (b"\x80", bytearray(b"\x81")),
        "none": None,
        "long": 1 << 80,
    }
    assert load(pickle.dumps(tree, protocol)) == tree


def test_attributes_of_a_state_dict_are_dropped() -> None:
    state = collections.OrderedDict(a=1)
    state._metadata = {"": {"version": 1}}
    read = load(pickle.dumps(state))
    assert type(read) is PlainDict
    assert not hasattr(read, "_metadata")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        np.arange(3, dtype=">f8"),
        np.float64(0.5),
        np.bool_(True),
        np.zeros((0, 4), np.uint8),
    ],
    ids=["c", "fortran", "big endian", "scalar", "bool", "empty"],
)
def test_numpy_values(protocol: int, value) -> None:
    record = load(pickle.dumps(value, protocol))
    assert isinstance(record, ArrayRecord)
    np.testing.assert_array_equal(record.load().numpy(), value)


@pytest.mark.parametrize(
    "value",
    [np.array([{}], dtype=object), np.zeros(2, [("a", "f4")]), np.zeros(1, "M8[s]")],
    ids=["objects", "structure", "time"],
)
def test_other_numpy_values_are_refused(value) -> None:
    with pytest.raises(InvalidInput, match="numpy"):
        load(pickle.dumps(value))


@pytest.mark.parametrize(
    "pid",
    [b"Vstorage\n", b"(Vstorage\nt", b"(Vmodule\nNNNNt", b"(Vstorage\nNVk\nVcpu\nI4\nt"],
)
def test_other_persistent_objects_are_refused(pid: bytes) -> None:
    with pytest.raises(InvalidInput, match="storage"):
        load(pid + b"Q.")


def test_a_tensor_is_noted_and_not_read() -> None:
    pid = b"(Vstorage\n" + global_("torch", "FloatStorage") + b"Vk\nVcpu\nI4\ntQ"
    build = global_("torch._utils", "_rebuild_tensor_v2") + b"(" + pid
    tensor = load(build + b"I1\n(I3\nt(I1\ntI00\nNtR.")
    assert isinstance(tensor, TensorRecord)
    assert (tensor.storage.key, tensor.storage.dtype, tensor.storage.elements) == (
        "k",
        "float32",
        4,
    )
    assert (tensor.offset, tensor.size, tensor.stride) == (1, (3,), (1,))
    with pytest.raises(InvalidInput, match="tries to change"):
        load(build + b"I1\n(I3\nt(I1\ntI00\nNtR}b.")
    with pytest.raises(InvalidInput, match="no storage"):
        load(global_("torch._utils", "_rebuild_tensor_v2") + b"(NI0\n(t(tNNtR.")


@pytest.mark.parametrize(
    "data", [b"", b".", b"\x80", b"hello", b"\x80\x05N", b"(lp0\n", b"\x80\x63."]
)
def test_what_is_no_pickle(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="no readable pickle"):
        load(data)


def test_every_truncation_is_an_error_of_ours() -> None:
    whole = pickle.dumps({"a": np.arange(4), "b": collections.OrderedDict(c=[1, "x", b"y"])}, 2)
    for length in range(len(whole)):
        with pytest.raises(InvalidInput):
            load(whole[:length])
