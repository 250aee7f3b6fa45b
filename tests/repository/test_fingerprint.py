import hashlib
import os

import pytest

from segserve.core.errors import LoadFailed
from segserve.repository.fingerprint import digest, files_below, fingerprint
from segserve.repository.layout import scan_repository


def of(folders, name="a"):
    return fingerprint(scan_repository(folders.root).models[name])


def test_it_changes_with_every_kind_of_change(folders):
    folder = folders.model("a", config="", labels="x\n")
    seen = [of(folders)]
    assert of(folders) == seen[0]
    model = folder / "1" / "model.onnx"
    for change in (
        lambda: model.write_bytes(b"\x08\x07\x08\x07"),
        lambda: os.utime(model, ns=(1, 1)),
        lambda: os.utime(model, ns=(1, 2)),
        lambda: model.chmod(0o400),
        lambda: (folder / "config.pbtxt").write_text("# changed"),
        (folder / "labels.txt").unlink,
        lambda: folders.model("a", versions=(2,)),
        lambda: (folder / "2" / "model.onnx").rename(folder / "2" / "renamed.onnx"),
    ):
        change()
        seen.append(of(folders))
    assert len(set(seen)) == len(seen)


def test_a_replaced_file_of_equal_size_and_time_is_seen(folders):
    folder = folders.model("a")
    before, model = of(folders), folder / "1" / "model.onnx"
    times = model.stat().st_mtime_ns
    (folder / "1" / "new").write_bytes(b"\x08\x09")
    os.utime(folder / "1" / "new", ns=(times, times))
    (folder / "1" / "new").rename(model)
    assert of(folders) != before


def test_unfinished_files_do_not_count(folders):
    folder = folders.model("a")
    before = of(folders)
    (folder / "2.tmp").mkdir()
    (folder / "2.tmp" / "model.onnx").touch()
    (folder / "1" / ".model.onnx.swp").touch()
    assert of(folders) == before


def test_the_digest_is_what_the_docs_say(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"12345")
    want = hashlib.sha256(b"config.pbtxt\0" + b"2\0cc" + b"labels\0" + b"1\0l" +
                          b"model.onnx\0" + b"5\0" + b"12345").hexdigest()  # fmt: skip
    assert digest(b"cc", b"l", files_below(tmp_path, tmp_path)) == f"sha256:{want}"


def test_the_digest_depends_on_content_alone(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "model.onnx").write_bytes(b"1")
        (tmp_path / name / "sub" / "data.bin").write_bytes(b"2")
    os.utime(tmp_path / "a" / "model.onnx", ns=(1, 1))
    one, two = (files_below(tmp_path / name, tmp_path) for name in ("a", "b"))
    assert list(one) == ["model.onnx", "sub/data.bin"]
    assert digest(b"", b"", one) == digest(b"", b"", two)
    assert digest(b"c", b"", one) != digest(b"", b"", one)
    assert digest(b"", b"l", one) != digest(b"", b"", one)
    (tmp_path / "b" / "sub" / "data.bin").write_bytes(b"3")
    assert digest(b"", b"", one) != digest(b"", b"", two)


def test_links_are_followed_inside_alone(tmp_path):
    root = tmp_path / "root"
    (root / "m").mkdir(parents=True)
    (root / "shared").mkdir()
    (root / "shared" / "w.bin").touch()
    (root / "m" / "link").symlink_to("../shared")
    assert list(files_below(root / "m", root)) == ["link/w.bin"]
    (root / "m" / "loop").symlink_to("../m")
    with pytest.raises(LoadFailed, match="a loop of links"):
        files_below(root / "m", root)
    (root / "m" / "loop").unlink()
    (root / "m" / "out").symlink_to("../..")
    with pytest.raises(LoadFailed, match="outside"):
        files_below(root / "m", root)


def test_kubernetes_config_maps_are_read(tmp_path):
    """A ConfigMap's files are links through a hidden folder of links."""
    (tmp_path / "m" / "..2024").mkdir(parents=True)
    (tmp_path / "m" / "..2024" / "config.pbtxt").touch()
    (tmp_path / "m" / "..data").symlink_to("..2024")
    (tmp_path / "m" / "config.pbtxt").symlink_to("..data/config.pbtxt")
    assert list(files_below(tmp_path / "m", tmp_path)) == ["config.pbtxt"]
