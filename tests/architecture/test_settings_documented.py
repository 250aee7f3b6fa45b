"""Every setting stands in the docs."""

from pathlib import Path

from segserve.settings import Settings


def test_every_field_is_documented(repo_root: Path) -> None:
    docs = "".join(
        (repo_root / "docs" / name).read_text()
        for name in ("configuration.md", "operations.md", "flags.md")
    )
    flags = ["--" + name.replace("_", "-") for name in Settings.model_fields]
    assert flags
    assert [flag for flag in flags if f"`{flag}" not in docs] == []


def test_every_field_describes_itself() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
