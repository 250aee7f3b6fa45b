"""Two interpolations and an argmax, against the two interpolations written out."""

from functools import partial

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops.argmax import NetworkGrid, upsample_argmax
from segserve.ops.argmax_two_step import upsample_argmax_two_step
from segserve.ops.bilinear import resize

CASES = [
    # logits, network, content, source
    ((16, 22), (64, 88), (64, 85), (23, 31)),
    ((16, 22), (64, 88), (60, 81), (150, 200)),
    ((16, 22), (64, 88), (64, 88), (64, 88)),
    ((64, 88), (64, 88), (64, 85), (23, 31)),
    ((16, 22), (8, 9), (7, 9), (30, 40)),
    ((1, 1), (4, 4), (3, 2), (5, 6)),
    ((5, 3), (20, 12), (20, 12), (1, 1)),
]


def scores(shape, classes: int = 5) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((classes, *shape)).astype(np.float32)


def written_out(logits, network, content, source) -> np.ndarray:
    enlarged = resize(logits, *network)[:, : content[0], : content[1]]
    return resize(np.ascontiguousarray(enlarged), *source)


@pytest.mark.parametrize(("shape", "network", "content", "source"), CASES)
def test_equals_the_two_steps(shape, network, content, source) -> None:
    logits = scores(shape)
    want = written_out(logits, network, content, source)
    got = upsample_argmax_two_step(logits, NetworkGrid(*network, *content), *source)
    taken = np.take_along_axis(want, got[None].astype(np.int64), axis=0)[0]
    assert got.dtype == np.uint8
    assert got.shape == source
    # Where labels differ the two classes tie.
    np.testing.assert_allclose(taken, want.max(axis=0), atol=2e-5)
    assert np.mean(got == want.argmax(axis=0)) > 0.999


def test_it_is_torch_s_answer() -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    logits = scores((64, 128), classes=19)
    enlarge = partial(torch.nn.functional.interpolate, mode="bilinear")
    x = enlarge(torch.from_numpy(logits)[None], scale_factor=4)
    x = enlarge(x[..., :250, :500], size=(94, 188))
    got = upsample_argmax_two_step(logits, NetworkGrid(256, 512, 250, 500), 94, 188)
    assert np.mean(got == x[0].argmax(dim=0).numpy()) > 0.9995
    direct = upsample_argmax(logits, 94, 188, grid=NetworkGrid(256, 512, 250, 500))
    assert np.mean(direct == got) < 0.999, "then one step would do"


def test_ties_go_to_the_first_class_and_many_classes_are_wide() -> None:
    grid = NetworkGrid(8, 8, 7, 7)
    assert not upsample_argmax_two_step(np.zeros((3, 2, 2), np.float32), grid, 5, 5).any()
    logits = np.zeros((300, 2, 2), np.float16)
    logits[299] = 1
    labels = upsample_argmax_two_step(logits, grid, 5, 5)
    assert labels.dtype == np.uint16
    assert (labels == 299).all()


@pytest.mark.parametrize(
    ("logits", "grid", "size"),
    [
        (np.zeros((2, 2), np.float32), NetworkGrid(8, 8, 8, 8), (4, 4)),
        (np.zeros((2, 2, 2), np.int64), NetworkGrid(8, 8, 8, 8), (4, 4)),
        (np.zeros((2, 2, 2), np.float32), NetworkGrid(8, 8, 9, 8), (4, 4)),
        (np.zeros((2, 2, 2), np.float32), NetworkGrid(8, 8, 8, 8), (0, 4)),
    ],
)
def test_wrong_input_is_named(logits, grid, size) -> None:
    with pytest.raises(InvalidInput, match=r"logits must be|sizes must be"):
        upsample_argmax_two_step(logits, grid, *size)
