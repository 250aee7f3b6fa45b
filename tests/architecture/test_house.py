"""The project's own furniture fits together."""

import re
from pathlib import Path

import pytest
import yaml

TARGETS = [
    *("demo", "test", "lint", "fmt", "proto", "bench", "parity", "export-env"),
    *("train-demo", "soak", "image-test", "clean", "help"),
]


def make_targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))


def test_makefile_has_the_targets(repo_root: Path) -> None:
    assert set(TARGETS) <= make_targets(repo_root)


def test_help_lists_every_target(repo_root: Path) -> None:
    described = set(
        re.findall(r"^([a-z-]+):.*## ", (repo_root / "Makefile").read_text(), re.MULTILINE)
    )
    assert set(TARGETS) <= described


def test_scripts_call_targets_that_exist(repo_root: Path) -> None:
    for script in (".ci/run", ".pre-commit-config.yaml"):
        called = re.findall(r"\bmake (?:--[a-z-]+ )*([a-z-]+)", (repo_root / script).read_text())
        assert called
        assert set(called) <= make_targets(repo_root)


def test_pre_commit_fetches_nothing(repo_root: Path) -> None:
    config = yaml.safe_load((repo_root / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]


def test_pins_name_one_version_each(repo_root: Path) -> None:
    lines = [
        line
        for line in (repo_root / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line)] == []
    names = [re.split("==", line)[0].lower().replace("_", "-") for line in lines]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"]
)
def test_links_between_documents_hold(repo_root: Path, name: str) -> None:
    path = repo_root / name
    documents = sorted(path.glob("*.md")) if path.is_dir() else [path]
    broken = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text())
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []
