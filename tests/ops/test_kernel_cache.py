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
print(json.dumps([chosen.kind.value, str(chosen.folder),
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
    assert chosen == KernelCache(CacheKind.CONFIGURED, tmp_path / "new")


def test_then_the_package_itself(tmp_path: Path) -> None:
    chosen = choose(None, tmp_path / "package", none)
    assert chosen == KernelCache(CacheKind.PACKAGE, tmp_path / "package")


def test_the_package_comes_after_a_configured_folder_that_cannot_be_written(
    tmp_path: Path, read_only: Path
) -> None:
    chosen = choose(read_only, tmp_path / "package", none)
    assert chosen == KernelCache(CacheKind.PACKAGE, tmp_path / "package")


@pytest.mark.parametrize("configured", [True, False])
def test_a_folder_is_taken_only_where_the_kernels_of_every_source_can_be_kept(
    tmp_path: Path, configured: bool
) -> None:
    package = tmp_path / "package"
    (package / "crf").mkdir(parents=True)
    (package / "crf" / "field_kernel.py").write_text("")
    if configured:
        choose(tmp_path / "kept", package, none)
        (place,) = (tmp_path / "kept").glob("crf_*")
        place.rmdir()
    else:
        place = package / "crf" / "__pycache__"
    place.write_text("a file in its place: nobody can write there, not even root")
    kind = choose(tmp_path / "kept" if configured else None, package, none).kind
    assert kind is (CacheKind.PACKAGE if configured else CacheKind.NONE)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that this user has among the temporary ones."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    kept = temporary_folder(lambda _: None)
    kept.rmdir()
    return kept


def test_a_temporary_folder_comes_last_and_is_there_again(temporary: Path, read_only: Path) -> None:
    for _ in range(2):
        chosen = choose(None, read_only, temporary_folder)
        assert chosen == KernelCache(CacheKind.TEMPORARY, temporary)
        assert stat.S_IMODE(temporary.lstat().st_mode) == 0o700
        (temporary / "a.nbi").write_text("index")
    assert (temporary / "a.nbi").exists()
    assert [path.name for path in temporary.parent.iterdir()] == [temporary.name]
    assert choose(None, read_only, none).kind is CacheKind.NONE


def test_other_sources_have_another_temporary_folder(temporary: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    source = package / "x_kernel.py"
    folders = set()
    for text in ("1", "11"):
        source.write_text(text)
        folders.add(temporary_folder(lambda _: None, package))
    assert len(folders | {temporary}) == 3


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
    assert not list(chosen.folder.rglob("*.nb?"))


def test_of_two_that_start_together_the_first_one_s_folder_is_both_s(temporary: Path) -> None:
    def fill(new: Path) -> None:
        kernels_in(temporary).chmod(0o700)  # the other was first
        (new / "b.nbi").write_text("index")

    assert temporary_folder(fill) == temporary
    assert {path.name for path in temporary.iterdir()} == {"a.nbi", "a.nbc"}
    assert [path.name for path in temporary.parent.iterdir()] == [temporary.name]


def run(
    kernel: Path, root: Path | None = None, *, mere_user: bool = False, **env: str
) -> list[object]:
    """Define a kernel in a process of its own; as `mere_user`, modes hold for root too."""
    prefix = []
    if mere_user and os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv (util-linux) to be no root")
        rights = "-dac_override,-dac_read_search,-fowner"
        prefix = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]
    done = subprocess.run(
        [*prefix, sys.executable, "-c", PROGRAM, str(kernel)],
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
    assert run(kernel, NUMBA_CACHE_DIR=folder) == ["NUMBA_CACHE_DIR", folder, 1, 42]
    assert run(kernel, NUMBA_CACHE_DIR=folder) == ["NUMBA_CACHE_DIR", folder, 0, 42]


def test_another_cpu_compiles_again(kernel: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "kept")
    run(kernel, NUMBA_CACHE_DIR=folder)
    other = run(kernel, NUMBA_CACHE_DIR=folder, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert other == ["NUMBA_CACHE_DIR", folder, 1, 42]


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
    assert json.loads(done.stdout) == ["none", "None", 1, 42]


def make_read_only(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package with one kernel more; the folder that it is imported from."""
    root = tmp_path / "root"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(segserve.__file__).parent, root / "segserve", ignore=ignore)
    (root / "segserve" / "ops" / "x_kernel.py").write_text(KERNEL)
    return root


@pytest.mark.parametrize("prebuilt", ["package", "NUMBA_CACHE_DIR"])
def test_a_read_only_tree_without_home(
    tmp_path: Path, package: Path, temporary: Path, prebuilt: str
) -> None:
    """Kernels were made ready when the package was installed, or with the container's image."""
    kernel, ready = package / "segserve" / "ops" / "x_kernel.py", tmp_path / "ready"
    env = {"NUMBA_CACHE_DIR": str(ready)} if prebuilt == "NUMBA_CACHE_DIR" else {}
    assert run(kernel, package, **env)[::2] == [prebuilt, 1]
    folders = [package] + ([ready] if env else [])
    for folder in folders:
        make_read_only(folder)
    env |= {"TMPDIR": str(temporary.parent)}
    first, second = (run(kernel, package, mere_user=True, **env) for _ in range(2))
    assert first == second
    assert (first[0], first[2:]) == ("temporary", [0, 42])
    assert list(temporary.parent.iterdir()) == [Path(str(first[1]))]
    for kept in [path for folder in folders for path in folder.rglob("*.nb?")]:
        kept.chmod(0)  # what cannot be read is compiled
    shutil.rmtree(str(first[1]))
    assert run(kernel, package, mere_user=True, **env) == [*first[:2], 1, 42]


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
