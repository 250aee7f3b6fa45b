import pickle
import re
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import InvalidInput  # noqa: E402  after the skip
from segserve.export.records import StorageRecord  # noqa: E402  same
from segserve.export.torch_file import open_checkpoint  # noqa: E402  same

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int8", "uint8", "bool", "uint16"]


def read(path):
    with open_checkpoint(path) as checkpoint:
        return {key: value.load(checkpoint.read) for key, value in checkpoint.tree.items()}


def tree():
    values = torch.arange(24)
    state = {name: values.to(getattr(torch, name)) for name in DTYPES}
    grid = torch.arange(24.0).reshape(4, 6)
    return state | {
        "transposed": grid.T,
        "slice": grid[1:3, 2:5],
        "same storage": grid,
        "empty": torch.zeros(0, 3),
        "zero-dimensional": torch.tensor(5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_torch_saves_is_read(tmp_path, zipped: bool) -> None:
    expected = tree()
    if not zipped:
        del expected["uint16"]  # the legacy format has no name for it
    torch.save(expected, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    got = read(tmp_path / "x.pth")
    assert list(got) == list(expected)
    for key, value in expected.items():
        assert got[key].dtype == value.dtype, key
        assert torch.equal(got[key], value.detach()), key


def test_a_pickle_of_arrays(tmp_path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": np.arange(3)}))
    with open_checkpoint(tmp_path / "x.pkl") as checkpoint:
        assert checkpoint.tree["a"].load().tolist() == [0, 1, 2]
        with pytest.raises(InvalidInput, match="bare pickle"):
            checkpoint.read(StorageRecord("0", "float32", 1))


def rezip(source, target, *, change=lambda _name, data: data, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


@pytest.fixture
def saved(tmp_path):
    torch.save({"a": torch.arange(8.0)}, tmp_path / "good.pth")
    return tmp_path / "good.pth"


@pytest.mark.parametrize(
    ("part", "becomes", "said"),
    [
        ("data/0", b"\0" * 12, "got 12 bytes, expected 32"),
        ("data/0", None, "no record 'data/0'"),
        ("byteorder", b"big", "big-endian"),
        ("data.pkl", None, "no checkpoint"),
        ("data.pkl", b"\x80", "no readable pickle"),
    ],
)
def test_a_damaged_zip(saved, tmp_path, part: str, becomes, said: str) -> None:
    bad = rezip(
        saved, tmp_path / "bad.pth", change=lambda n, d: becomes if n.endswith("/" + part) else d
    )
    with pytest.raises(InvalidInput, match=said):
        read(bad)


def test_a_compressed_zip_could_be_a_bomb(saved, tmp_path) -> None:
    bad = rezip(saved, tmp_path / "bad.pth", method=zipfile.ZIP_DEFLATED)
    with pytest.raises(InvalidInput, match="compressed"):
        read(bad)


@pytest.mark.parametrize("record", ["data.pkl", "data/0"])
def test_an_encrypted_record_says_so(saved, tmp_path, record: str) -> None:
    data = bytearray(saved.read_bytes())
    for signature, flags_at, name_at in ((b"PK\3\4", 6, 30), (b"PK\1\2", 8, 46)):
        name = f"good/{record}".encode()
        start = next(
            found.start()
            for found in re.finditer(re.escape(signature), data)
            if data[found.start() + name_at :].startswith(name)
        )
        data[start + flags_at] |= 1
    (tmp_path / "bad.pth").write_bytes(data)
    said = rf"record '{record}' is encrypted, expected plain .*: unpack the ZIP with its password"
    with pytest.raises(InvalidInput, match=said):
        read(tmp_path / "bad.pth")


def test_a_flipped_bit_is_seen(saved, tmp_path) -> None:
    data = bytearray(saved.read_bytes())
    data[data.index(np.arange(8.0, dtype=np.float32).tobytes()) + 5] ^= 1
    (tmp_path / "bad.pth").write_bytes(data)
    with pytest.raises(InvalidInput, match="CRC"):
        read(tmp_path / "bad.pth")


def test_torchscript_is_refused(saved, tmp_path) -> None:
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("good/constants.pkl", b"\x80\x02).")
    with pytest.raises(InvalidInput, match="TorchScript"):
        read(saved)


def test_a_truncated_legacy_file(tmp_path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.arange(8.0)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in (0, 5, 40, len(whole) - 40, len(whole) - 33, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput):
            read(path)


def test_a_tar_is_refused(tmp_path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "x.pth", "w") as archive:
        archive.add(__file__, "storages")
    with pytest.raises(InvalidInput, match="TAR"):
        read(tmp_path / "x.pth")
