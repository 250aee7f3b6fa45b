import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import InvalidInput  # noqa: E402  after the skip
from segserve.export.records import (  # noqa: E402  same
    ArrayRecord,
    DtypeRecord,
    PlainDict,
    StorageRecord,
    TensorRecord,
)

STORAGE = StorageRecord("k", "float32", 6)


def tensor(offset=0, size=(2, 3), stride=(3, 1), storage=STORAGE, dtype="float32"):
    record = TensorRecord(storage, dtype, offset, size, stride)
    return record.load(lambda _: np.arange(6, dtype=np.float32).tobytes())


def test_strides_and_offsets() -> None:
    assert tensor().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensor(size=(3, 2), stride=(1, 3)).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensor(offset=5, size=(1,), stride=(1,)).tolist() == [5]
    assert tensor(size=(), stride=()).item() == 0
    assert tensor(size=(0, 3)).shape == (0, 3)


def test_a_view_of_an_old_file_starts_later() -> None:
    late = StorageRecord("k", "float32", 6, first=4)
    assert tensor(storage=late, size=(2,), stride=(1,)).tolist() == [4, 5]


def test_an_untyped_storage() -> None:
    raw = StorageRecord("k", "uint8", 24)
    assert tensor(storage=raw, dtype="uint16", size=(2,), stride=(1,)).dtype == torch.uint16


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": 1},
        {"size": (2, 4)},
        {"size": (10**18, 10**18)},
        {"size": (-1, 3)},
        {"stride": (3,)},
        {"stride": (3, -1)},
        {"offset": "0"},
        {"size": (2.0, 3)},
    ],
    ids=str,
)
def test_a_tensor_beyond_its_storage(wrong) -> None:
    with pytest.raises(InvalidInput, match="size"):
        tensor(**wrong)


def test_records_refuse_state() -> None:
    with pytest.raises(InvalidInput, match="StorageRecord"):
        STORAGE.__setstate__({"key": "other"})
    plain = PlainDict(a=1)
    plain.__setstate__({"items": None})
    assert list(plain.items()) == [("a", 1)]


@pytest.mark.parametrize("code", ["O", "O8", "V8", "f4,f4", "M8[s]", "f16", ""])
def test_dtypes_that_are_no_numbers(code: str) -> None:
    with pytest.raises(InvalidInput, match="dtype"):
        DtypeRecord(code)


@pytest.mark.parametrize("state", [None, (), (3,), (3, "x"), {"a": 1}])
def test_a_dtype_state_that_numpy_does_not_write(state) -> None:
    with pytest.raises(InvalidInput, match="unknown state"):
        DtypeRecord("f4").__setstate__(state)


def test_array_states() -> None:
    record = ArrayRecord()
    with pytest.raises(InvalidInput, match="without numbers"):
        record.load()
    with pytest.raises(InvalidInput, match="unknown state"):
        record.__setstate__((1, 2))
    with pytest.raises(InvalidInput, match="objects"):
        record.__setstate__((1, (1,), DtypeRecord("f4"), False, [1.0]))
    record.__setstate__((1, (2,), DtypeRecord("f4"), False, "\x00\x00\x80\x3f\x00\x00\x00\x40"))
    assert record.load().tolist() == [1.0, 2.0]


def test_texts_are_read_but_are_no_tensor() -> None:
    record = ArrayRecord()
    record.__setstate__((1, (1,), DtypeRecord("S2"), False, b"ab"))
    with pytest.raises(InvalidInput, match="without numbers"):
        record.load()
