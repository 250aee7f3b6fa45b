"""Where compiled kernels are kept, in processes that may write here and not there."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import segserve
from segserve.ops.kernel_cache import CacheKind, KernelCache, choose, compiled_now, temporary_folder

KERNEL = """import sys
from numba import types
from segserve.ops.kernel_cache import njit
@njit([types.intp(types.intp)])
def double(x):
    return 2 * x
"""
PROGRAM = """import importlib.util, json, sys
from segserve.ops import kernel_cache
spec = importlib.util.spec_from_file_location("segserve.ops.x_kernel", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
chosen = kernel_cache.kernel_cache()
print(json.dumps([chosen.kind.value, str(chosen.folder), chosen.was_filled,
                  kernel_cache.compiled_now(), module.double(21)]))
"""


def none(fill: Callable[[Path], None]) -> Path:
    raise OSError("no such folder")


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A name under a file: nobody can make that folder, not even root."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "folder"


def kernels_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "a.nbi").write_text("index")
    (folder / "a.nbc").write_text("code")
    return folder


def test_the_configured_folder_comes_first(tmp_path: Path) -> None:
    chosen = choose(tmp_path / "new", tmp_path / "package", none)
    assert (chosen.kind, chosen.folder) == (CacheKind.CONFIGURED, tmp_path / "new")
    assert not chosen.was_filled
    kernels_in(tmp_path / "new" / "sub")
    assert choose(tmp_path / "new", tmp_path / "package", none).was_filled


def test_then_the_package_itself(tmp_path: Path) -> None:
    chosen = choose(None, tmp_path / "package", none)
    assert (chosen.kind, chosen.folder) == (CacheKind.PACKAGE, tmp_path / "package")


def test_the_package_comes_after_a_configured_folder_that_cannot_be_written(
    tmp_path: Path, read_only: Path
) -> None:
    chosen = choose(read_only, tmp_path / "package", none)
    assert (chosen.kind, chosen.folder) == (CacheKind.PACKAGE, tmp_path / "package")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder / f"segserve-kernels-{os.geteuid()}"


def test_a_temporary_folder_comes_last_and_is_there_again(temporary: Path, read_only: Path) -> None:
    for filled in (False, True):
        chosen = choose(None, read_only, temporary_folder)
        assert chosen == KernelCache(CacheKind.TEMPORARY, temporary, filled)
        assert stat.S_IMODE(temporary.lstat().st_mode) == 0o700
        (temporary / "a.nbi").write_text("index")
    assert choose(None, read_only, none).kind is CacheKind.NONE


def test_a_prebuilt_cache_that_cannot_be_written_is_copied(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prebuilt = kernels_in(tmp_path / "prebuilt" / "ops_1").parent
    monkeypatch.setattr("segserve.ops.kernel_cache._writable", lambda f: f != prebuilt)
    chosen = choose(prebuilt, tmp_path / "package", temporary_folder)
    assert chosen.was_filled
    assert (temporary / "ops_1" / "a.nbc").read_text() == "code"


@pytest.mark.parametrize("of_others", ["writable", "link", "file"])
def test_a_temporary_folder_that_others_could_have_written_is_not_taken(
    temporary: Path, tmp_path: Path, read_only: Path, of_others: str
) -> None:
    """What numba finds there is unpickled."""
    if of_others == "writable":
        kernels_in(temporary)
        temporary.chmod(0o777)
    elif of_others == "link":
        temporary.symlink_to(kernels_in(tmp_path / "elsewhere"))
    else:
        temporary.write_text("")
    chosen = choose(None, read_only, temporary_folder)
    assert chosen.kind is CacheKind.TEMPORARY
    assert chosen.folder not in (None, temporary)
    assert not chosen.was_filled


def test_of_two_that_start_together_neither_takes_what_is_half_filled(temporary: Path) -> None:
    def fill(new: Path) -> None:
        kernels_in(temporary).chmod(0o700)  # the other was first
        (new / "b.nbi").write_text("index")

    mine = temporary_folder(fill)
    assert mine != temporary
    assert [path.name for path in mine.iterdir()] == ["b.nbi"]
    assert temporary_folder(fill) == temporary


def run(kernel: Path, root: Path | None = None, **env: str) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(kernel)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root or ""), **env},
    )
    answer: list[object] = json.loads(done.stdout)
    return answer


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "x_kernel.py"
    path.write_text(KERNEL)
    return path


def test_a_kernel_is_compiled_once(kernel: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "kept")
    assert run(kernel, NUMBA_CACHE_DIR=folder) == ["NUMBA_CACHE_DIR", folder, False, 1, 42]
    assert run(kernel, NUMBA_CACHE_DIR=folder) == ["NUMBA_CACHE_DIR", folder, True, 0, 42]


def test_another_cpu_compiles_again(kernel: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "kept")
    run(kernel, NUMBA_CACHE_DIR=folder)
    other = run(kernel, NUMBA_CACHE_DIR=folder, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert other == ["NUMBA_CACHE_DIR", folder, True, 1, 42]


def test_nothing_to_write_to_compiles_in_memory(kernel: Path, read_only: Path) -> None:
    env = {"NUMBA_CACHE_DIR": str(read_only), "HOME": str(read_only)}
    nowhere = f"""kernel_cache._writable = lambda f: False
kernel_cache.tempfile.tempdir = {str(read_only)!r}
spec ="""
    code = PROGRAM.replace("spec =", nowhere, 1)
    done = subprocess.run(
        [sys.executable, "-c", code, str(kernel)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", **env},
    )
    assert json.loads(done.stdout) == ["none", "None", False, 1, 42]


def test_kernels_beside_their_sources_are_found_from_elsewhere(
    tmp_path: Path, temporary: Path
) -> None:
    """A package whose folder was filled when it was installed and cannot be written now."""
    package = Path(segserve.__file__).parent
    root = tmp_path / "root"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, root / "segserve", ignore=ignore)
    kernel = root / "segserve" / "ops" / "x_kernel.py"
    kernel.write_text(KERNEL)
    first = run(kernel, root, HOME=str(tmp_path))
    assert (first[0], first[3]) == ("package", 1)
    code = PROGRAM.replace(
        "spec =",
        "kernel_cache._writable = lambda f: 'segserve/ops' not in str(f) and f.mkdir("
        "parents=True, exist_ok=True) is None\nspec =",
        1,
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(kernel)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "TMPDIR": str(temporary.parent)},
    )
    assert json.loads(done.stdout)[:2] == ["temporary", str(temporary)]
    assert json.loads(done.stdout)[2:] == [True, 0, 42]


def test_kernels_are_counted_while_another_thread_imports() -> None:
    ended = threading.Event()
    names = [f"{__name__}.imported{i}" for i in range(500)]

    def keep_importing() -> None:
        while not ended.is_set():
            sys.modules.update((name, sys) for name in names)
            for name in names:
                del sys.modules[name]

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    other = threading.Thread(target=keep_importing)
    other.start()
    try:
        assert {compiled_now() for _ in range(40)} == {compiled_now()}
    finally:
        ended.set()
        other.join()
        sys.setswitchinterval(interval_s)
