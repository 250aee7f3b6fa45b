"""Sizes, names and homes of files."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

MAX_LINES = 300
NO_HOME = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
KERNEL_LINE = (
    "# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, "
    "disallow-untyped-calls=False, check-untyped-defs=False"
)

# Modules without a test file of their own, and where they are tested.
TESTED_ELSEWHERE: dict[str, str] = {
    "__main__": "tests/e2e, as a child process",
    "app": "tests/e2e, as a child process",
}


def sources(root: Path, *folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            if "generated" not in path.parts and "__pycache__" not in path.parts:
                yield path


def only_declares(path: Path) -> bool:
    """Whether a module holds types and constants alone: no function with more than a docstring."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return all(
        isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
        for function in functions
        for line in function.body
    )


def test_files_are_short(repo_root: Path) -> None:
    lengths = {
        str(path.relative_to(repo_root)): len(path.read_text().splitlines())
        for path in sources(repo_root, "service", "tests", "loadtests", "proto")
    }
    assert lengths
    assert {name: n for name, n in lengths.items() if n >= MAX_LINES} == {}


def test_modules_are_named_for_what_they_hold(repo_root: Path) -> None:
    vague = [
        str(path.relative_to(repo_root))
        for path in sources(repo_root, "service", "loadtests")
        if NO_HOME & {path.stem, *path.stem.split("_"), *path.relative_to(repo_root).parts[:-1]}
    ]
    assert vague == []


def test_every_module_has_its_test(repo_root: Path) -> None:
    package = repo_root / "service" / "segserve"
    missing = []
    for path in sources(repo_root, "service"):
        module = path.relative_to(package)
        name = ".".join(module.with_suffix("").parts)
        if path.stem == "__init__" or path.stem.endswith("_kernel") or name in TESTED_ELSEWHERE:
            continue
        if only_declares(path):
            continue
        test = repo_root / "tests" / module.parent / f"test_{path.stem}.py"
        if not test.exists():
            missing.append(f"{name}: no {test.relative_to(repo_root)}")
    assert missing == []


def test_exceptions_are_needed(repo_root: Path) -> None:
    for name in TESTED_ELSEWHERE:
        module = repo_root.joinpath("service", "segserve", *name.split(".")).with_suffix(".py")
        assert module.exists(), f"{name} is gone: take it out of TESTED_ELSEWHERE"


def test_kernels_say_that_they_are_untyped(repo_root: Path) -> None:
    kernels = sorted((repo_root / "service" / "segserve" / "ops").rglob("*_kernel.py"))
    assert kernels
    without = [p.name for p in kernels if KERNEL_LINE not in p.read_text().splitlines()]
    assert without == []


@pytest.mark.parametrize("mark", ["TO" + "DO", "FIX" + "ME", "X" * 3])
def test_nothing_is_put_off(repo_root: Path, mark: str) -> None:
    marked = [
        str(path.relative_to(repo_root))
        for path in sources(repo_root, "service", "tests", "loadtests")
        if f"# {mark}" in path.read_text()
    ]
    assert marked == []
