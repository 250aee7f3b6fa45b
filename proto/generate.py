"""Generate the Python messages under ``service/segserve/generated`` from the ``.proto`` files.

``python proto/generate.py`` writes them; ``--out DIR`` writes them elsewhere. The grpcio-tools
version is pinned, so that the same protos always give the same bytes.
"""

# ruff: noqa: INP001  a script beside the protos, no package
from __future__ import annotations

import argparse
import re
from importlib.metadata import version
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]  # it has none

PROTO = Path(__file__).resolve().parent
OUT = PROTO.parent / "service" / "segserve" / "generated"
PACKAGE = "segserve.generated"
FILES = (
    "inference/model_config.proto",
    "inference/grpc_service.proto",
    "segserve/v1/segmentation.proto",
)
TOOLS_VERSION = "1.81.1"


def generate(out: Path) -> tuple[Path, ...]:
    """Write the modules, their stubs and the packages that hold them.

    Raises
    ------
    SystemExit
        When grpcio-tools has another version than the pinned one, or protoc fails.
    """
    found = version("grpcio-tools")
    if found != TOOLS_VERSION:
        raise SystemExit(f"grpcio-tools {TOOLS_VERSION} is needed, {found} is installed")
    out.mkdir(parents=True, exist_ok=True)
    flags = [f"-I{PROTO}", f"--python_out={out}", f"--pyi_out={out}"]
    if protoc.main(["protoc", *flags, *FILES]) != 0:
        raise SystemExit("protoc failed; its message is above")
    written = []
    for name in FILES:
        for suffix in ("_pb2.py", "_pb2.pyi"):
            path = out / (name.removesuffix(".proto") + suffix)
            _make_imports_absolute(path)
            written.append(path)
        _make_packages(out, (out / name).parent)
    return tuple(written)


def _make_imports_absolute(path: Path) -> None:
    """Let ``from inference import x`` say where the package really lives."""
    text = path.read_text()
    pattern, absolute = r"(?m)^from (inference|segserve\.v1) import", rf"from {PACKAGE}.\1 import"
    path.write_text(re.sub(pattern, absolute, text))


def _make_packages(out: Path, folder: Path) -> None:
    while folder != out:
        name = ".".join((PACKAGE, *folder.relative_to(out).parts))
        (folder / "__init__.py").write_text(f'"""{name}."""\n')
        folder = folder.parent


def main() -> None:
    """Write to the package, or to ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    generate(parser.parse_args().out)


if __name__ == "__main__":
    main()
