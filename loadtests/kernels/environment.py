"""Make the environment of the kernel benchmark: Segserve's own, and baselines it must not hold.

pydensecrf's source distribution is from 2018: its generated C++ does not compile against
Python 3.11, and its Cython sources need Cython below 3. So the generated files are deleted, and
it is built with a compiler and an old Cython in an environment of its own, from which Segserve's
is visible too, beside OpenCV, scikit-learn and pycocotools. Where that fails, the benchmark says
so and skips the rows that need it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path

PYDENSECRF = "pydensecrf==1.0rc3"
BUILD_TOOLS = ("setuptools<70", "wheel", "Cython==0.29.37", "numpy")
LIBRARIES = ("scikit-learn", "opencv-python-headless", "pycocotools")
TIMEOUT_S = 600
STAMP = "installed.txt"


def make(folder: Path) -> str:
    """Make the environment unless it is there.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    said : str
        ``ok``, or what could not be installed and why.
    """
    stamp = folder / STAMP
    if stamp.exists():
        return stamp.read_text().strip()
    venv.create(folder, with_pip=True, clear=True)
    said = "ok"
    for step in (_build_pydensecrf, _install_libraries):
        try:
            step(folder)
        except (subprocess.SubprocessError, OSError, tarfile.TarError) as error:
            said = f"incomplete, {step.__name__.strip('_')}: {_reason(error)}"
    _show_own_packages(folder)
    stamp.write_text(said + "\n")
    return said


def python_of(folder: Path) -> Path:
    """Give the environment's Python."""
    return folder / "bin" / "python"


def _pip(folder: Path) -> list[str]:
    return [str(python_of(folder)), "-m", "pip", "--disable-pip-version-check", "-q"]


def _install_libraries(folder: Path) -> None:
    _run([*_pip(folder), "install", "-c", "constraints.txt", *LIBRARIES])


def _build_pydensecrf(folder: Path) -> None:
    pip = _pip(folder)
    _run([*pip, "install", *BUILD_TOOLS])
    with tempfile.TemporaryDirectory() as scratch:
        fetch = ("download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation")
        _run([*pip, *fetch, "-d", scratch, PYDENSECRF])
        with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
            archive.extractall(scratch, filter="data")
        source = next(path for path in Path(scratch).iterdir() if path.is_dir())
        for generated in ("eigen.cpp", "densecrf.cpp"):
            (source / "pydensecrf" / generated).unlink(missing_ok=True)
        _run([*pip, "install", "--no-deps", "--no-build-isolation", str(source)])


def _show_own_packages(folder: Path) -> None:
    """Let the environment see what this one holds, after its own packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = sysconfig.get_paths()["purelib"]
    target = folder / "lib" / version / "site-packages" / "segserve-environment.pth"
    target.write_text(f"import site; site.addsitedir({own!r})\n")


def _run(command: list[str]) -> None:
    subprocess.run(  # noqa: S603  the commands are this file's
        command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S
    )


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", None) or str(error)
    lines = [line.strip() for line in str(said).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def main() -> None:
    """Make the environment and say what it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    print(make(parser.parse_args().folder))


if __name__ == "__main__":
    main()
