import pytest

from segserve.core.errors import InvalidInput, LoadFailed
from segserve.repository.staging import StagedFiles


@pytest.fixture
def staged():
    made = StagedFiles(max_bytes=100)
    yield made
    made.close()


def test_files_are_laid_out(staged):
    folder = staged.stage("m", {"file:1/model.onnx": b"one", "2/sub/data.bin": b"two"})
    assert (folder / "1" / "model.onnx").read_bytes() == b"one"
    assert (folder / "2" / "sub" / "data.bin").read_bytes() == b"two"
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "name",
    [
        "file:../m/1/model.onnx",
        "file:1/../../model.onnx",
        "file:/etc/passwd",
        "/1/model.onnx",
        "file:model.onnx",
        "file:",
        "",
        "file:1",
        "file:1\\model.onnx",
        "file:1/a\0b",
        "file:1/.hidden",
        "file:v1/model.onnx",
        "file:01/model.onnx",
    ],
)
def test_paths_that_are_no_version_s_file(staged, name):
    with pytest.raises(InvalidInput):
        staged.stage("m", {name: b""})


def test_bytes_are_bounded_over_all_models(staged):
    staged.stage("a", {"1/model.onnx": b"x" * 60})
    with pytest.raises(LoadFailed, match="over all models, 100 bytes"):
        staged.stage("b", {"1/model.onnx": b"x" * 60})
    staged.stage("a", {"1/model.onnx": b"x" * 90})
    with pytest.raises(LoadFailed, match="1001 files"):
        staged.stage("a", {f"1/{n}": b"" for n in range(1001)})


def test_the_last_one_stays_and_closing_removes_all(staged):
    first = staged.stage("a", {"1/model.onnx": b"1"})
    second = staged.stage("a", {"1/model.onnx": b"2"})
    assert not first.exists()
    assert second.exists()
    staged.drop("a")
    assert not second.exists()
    third = staged.stage("a", {"1/model.onnx": b"3"})
    staged.close()
    assert not third.exists()


def test_a_file_that_is_also_a_folder(staged):
    with pytest.raises(LoadFailed, match="cannot stage"):
        staged.stage("m", {"1/a": b"", "1/a/b": b""})
    assert staged.stage("m", {"1/a": b""}).exists()
