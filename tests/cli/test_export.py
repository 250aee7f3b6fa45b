import subprocess
import sys

import pytest

from segserve.cli.main import main
from segserve.export.catalogue import RECIPES


def last_line(text: str) -> str:
    return text.rstrip("\n").splitlines()[-1]


def test_list_shows_names_and_aliases_without_torch() -> None:
    code = (
        "import sys; from segserve.cli.main import main; code = main(['export', '--list']); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "vainf_deeplabv3plus_mobilenet_os16" in run.stdout
    assert "alias deeplabv3plus_mobilenet" in run.stdout


def test_list_tells_source_keys_and_rules_of_every_recipe(capsys) -> None:
    assert main(["export", "--list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    for recipe in RECIPES:
        start = shown.index(recipe.name)
        told = recipe.provenance
        expected = [
            *(f"  alias {alias}" for alias in recipe.aliases),
            f"  source {told.source}",
            f"  keys {told.keys}",
            f"  input {told.input_rule}",
            f"  output {told.output_rule}",
        ]
        assert shown[start + 1 : start + 1 + len(expected)] == expected
        assert all(len(line.split(maxsplit=1)[1]) > 3 for line in expected)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export"], "RECIPE, --checkpoint, --out missing"),
        (["export", "deeplabv3plus_demo", "--out", "x"], "--checkpoint missing"),
    ],
)
def test_what_is_missing_is_named(capsys, arguments, said: str) -> None:
    assert main(arguments) == 2
    assert said in last_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("recipe", "more", "said"),
    [
        ("deeplabv3plus_resnet5", [], "did you mean deeplabv3plus_resnet50?"),
        ("deeplabv3plus_demo", ["--name", "../x"], "model name '../x'"),
    ],
)
def test_wrong_usage(capsys, tmp_path, recipe: str, more: list[str], said: str) -> None:
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    out = tmp_path / "out"
    arguments = ["export", recipe, "--checkpoint", "x.pth", "--out", str(out), *more]
    assert main(arguments) == 2
    assert said in last_line(capsys.readouterr().err)
    assert not out.exists()


def test_an_unknown_flag_names_the_nearest(capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["export", "--chekpoint", "x"])
    assert "did you mean --checkpoint?" in last_line(capsys.readouterr().err)


def test_a_checkpoint_that_does_not_fit_fails_in_one_last_line(capsys, tmp_path) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    checkpoint = tmp_path / "x.pth"
    torch.save({"model_state": {"wrong.weight": torch.ones(1)}}, checkpoint)
    out = tmp_path / "out"
    arguments = ["--checkpoint", str(checkpoint), "--out", str(out)]
    assert main(["export", "deeplabv3plus_demo", *arguments]) == 1
    line = last_line(capsys.readouterr().err)
    assert "does not fit" in line
    assert "unexpected: wrong.weight [1]" in line or "more" in line
    assert not out.exists()


def test_a_missing_checkpoint_fails(capsys, tmp_path) -> None:
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    arguments = ["--checkpoint", str(tmp_path / "x.pth"), "--out", str(tmp_path / "out")]
    assert main(["export", "deeplabv3plus_demo", *arguments]) == 1
    assert "no checkpoint" in last_line(capsys.readouterr().err)


def test_a_name_that_is_taken_is_known_before_the_checkpoint_is_read(capsys, tmp_path) -> None:
    pytest.importorskip("torch", reason="needs the export extra: make export-env")
    (tmp_path / "mine").mkdir()
    arguments = ["--checkpoint", str(tmp_path / "x.pth"), "--out", str(tmp_path), "--name", "mine"]
    assert main(["export", "deeplabv3plus_demo", *arguments]) == 1
    assert "--overwrite" in last_line(capsys.readouterr().err)


# a whole export by the command: tests/export/test_run.py, beside the graph that it must equal
