import re

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")

from segserve.cli.main import main  # noqa: E402  after the skip
from segserve.core.errors import AlreadyExists, InvalidInput  # noqa: E402  same
from segserve.export.catalogue import find_recipe  # noqa: E402  same
from segserve.export.compare import Comparison  # noqa: E402  same
from segserve.export.config_text import TORCHSCRIPT  # noqa: E402  same
from segserve.export.recipe import ExportConfig  # noqa: E402  same
from segserve.export.run import Destination, export_checkpoint, is_accepted  # noqa: E402  same

DEMO = find_recipe("deeplabv3plus_demo")


def test_the_command_makes_a_model_of_a_checkpoint(
    capsys, slim_checkpoint, slim_graph, tmp_path
) -> None:
    out = tmp_path / "out"
    arguments = ["--checkpoint", str(slim_checkpoint), "--out", str(out), "--name", "mine"]
    assert main(["export", DEMO.name, *arguments]) == 0
    told = capsys.readouterr()
    found = re.search(r"mine: 4.5 MB; ONNX Runtime is within (\S+) std of the eager netw", told.out)
    assert found, told.out
    assert float(found[1]) < 1e-4
    steps = re.findall(r"^segserve export: (\w+)", told.err, re.MULTILINE)
    assert steps == ["reading", "exporting", "comparing"]
    files = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert files == ["mine/1/model.onnx", "mine/config.pbtxt", "mine/labels.txt"]
    same = (out / "mine" / "1" / "model.onnx").read_bytes() == slim_graph
    assert same, "the same weights give the same bytes"
    assert main(["export", DEMO.name, *arguments]) == 1
    assert "--overwrite" in capsys.readouterr().err.rstrip("\n").splitlines()[-1]


def test_the_destination_is_looked_at_first(tmp_path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(AlreadyExists):
        export_checkpoint(DEMO, tmp_path / "none.pth", Destination(tmp_path, "m"))


def test_nothing_is_written_for_a_checkpoint_that_does_not_fit(slim_checkpoint, tmp_path) -> None:
    repository = tmp_path / "repository"
    with pytest.raises(InvalidInput, match="does not fit"):
        export_checkpoint(
            find_recipe("deeplabv3plus_mobilenet"), slim_checkpoint, Destination(repository, "m")
        )
    assert not repository.exists()


def test_as_torchscript(slim, slim_checkpoint, tmp_path) -> None:
    steps: list[str] = []
    destination = Destination(tmp_path / "repository", "m", backend=TORCHSCRIPT)
    done = export_checkpoint(DEMO, slim_checkpoint, destination, steps.append)
    assert done.graph_bytes == (done.path / "1" / "model.pt").stat().st_size
    assert done.comparison.max_error_std < 1e-4
    assert [step.split()[0] for step in steps] == ["reading", "compiling", "comparing"]


def test_only_recipes_that_say_so_are_judged_by_their_labels() -> None:
    strict = ExportConfig((), (), 1)
    by_labels = ExportConfig((), (), 1, min_label_agreement=0.99)
    near, far = Comparison(1e-3, 1e-4, 0.9), Comparison(0.5, 1e-2, 0.995)
    assert is_accepted(near, strict)
    assert is_accepted(near, by_labels)
    assert not is_accepted(far, strict)
    assert is_accepted(far, by_labels)
    assert not is_accepted(Comparison(0.5, 1e-2, 0.98), by_labels)
