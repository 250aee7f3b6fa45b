import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import BackendFailed  # noqa: E402  after the skip
from segserve.export.catalogue import find_recipe  # noqa: E402  same
from segserve.export.to_torchscript import (  # noqa: E402  same
    compare_torchscript,
    run_torchscript,
    to_torchscript,
)

DEMO = find_recipe("deeplabv3plus_demo")


@pytest.fixture(scope="module")
def program(slim) -> bytes:
    return to_torchscript(slim, DEMO)


@pytest.mark.parametrize("shape", [(1, 3, 75, 101), (3, 3, 64, 48), (1, 3, 17, 33)])
def test_any_size_computes_what_the_network_does(slim, program, shape) -> None:
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    comparison = compare_torchscript(slim, program, DEMO, {"image": image})
    assert comparison.max_error_std == 0


def test_batch_rows_do_not_see_each_other(program) -> None:
    images = np.random.default_rng(0).standard_normal((5, 3, 48, 64)).astype(np.float32)
    (whole,) = run_torchscript(program, {"image": images})
    for row in range(5):
        (alone,) = run_torchscript(program, {"image": images[row : row + 1]})
        np.testing.assert_allclose(whole[row], alone[0], atol=1e-4)


def test_a_bare_torch_loads_it_and_finds_no_trace_of_this_machine(program, tmp_path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(program)
    code = (
        "import sys, torch; m = torch.jit.load(sys.argv[1]); y = m(torch.zeros(1, 3, 32, 40)); "
        "assert 'segserve' not in sys.modules; print(list(y.shape))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(path)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "[1, 7, 8, 10]", run.stderr
    names = zipfile.ZipFile(io.BytesIO(program)).namelist()
    assert not [name for name in names if name.endswith(".debug_pkl")]
    assert b"site-packages" not in program
    assert b"BatchNorm" not in b"".join(
        zipfile.ZipFile(io.BytesIO(program)).read(n) for n in names if n.endswith(".py")
    )


def test_the_mode_is_given_back(slim) -> None:
    slim.train()
    to_torchscript(slim, DEMO)
    assert slim.training
    slim.eval()


class Renamed(torch.nn.Module):
    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return picture


class Choosing(torch.nn.Module):
    """What TorchScript cannot compile, and a recording gets wrong at other sizes."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        is_wide = image.shape[3] > image.shape[2]
        return self.network(image) * {True: 1.0, False: 2.0}[bool(is_wide) and bool(globals())]


class Refusing(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        raise ValueError(f"no {len(globals())}")


def test_what_cannot_be_compiled_is_recorded(slim) -> None:
    class Simple(Choosing):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.network(image) * {True: 2.0}[bool(globals())]

    program = to_torchscript(Simple(slim), DEMO)
    image = {"image": np.random.default_rng(0).standard_normal((1, 3, 40, 64), np.float32)}
    assert compare_torchscript(Simple(slim), program, DEMO, image).max_error_std < 1e-4


def test_a_recording_that_holds_for_its_own_size_alone_is_found_out(slim) -> None:
    image = {"image": np.random.default_rng(0).standard_normal((2, 3, 40, 64), np.float32)}
    recorded = to_torchscript(Choosing(slim), DEMO)  # from a picture that is wider than high
    comparison = compare_torchscript(Choosing(slim), recorded, DEMO, image)
    assert not comparison.is_close
    assert comparison.max_error_std > 0.5


def test_what_can_be_neither_says_so() -> None:
    with pytest.raises(
        BackendFailed, match=r"deeplabv3plus_demo cannot be compiled.*--format onnx"
    ):
        to_torchscript(Refusing(), DEMO)
    with pytest.raises(BackendFailed, match=r"takes \['picture'\], expected .*\['image'\]"):
        to_torchscript(Renamed(), DEMO)


def test_another_number_of_outputs_is_refused(slim, program) -> None:
    class Two(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return slim(image), image

    image = {"image": np.zeros((1, 3, 32, 32), np.float32)}
    with pytest.raises(BackendFailed, match="gives 1 outputs, the network 2"):
        compare_torchscript(Two(), program, DEMO, image)
