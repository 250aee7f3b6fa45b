"""Up-sampling and arg-max in one against torch's two steps and a slow obvious version."""

import numpy as np
import pytest

from segserve.core.errors import InvalidInput
from segserve.ops.argmax import NetworkGrid, argmax, upsample_argmax, valid_count

SIZES = [(65, 65, 513, 513), (94, 125, 375, 500), (33, 47, 130, 201), (24, 32, 500, 375)]


def smooth(seed: int, classes: int, h: int, w: int) -> np.ndarray:
    """Regions, as a network gives them: one class leads over a patch."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((classes, -(-h // 8), -(-w // 8)))
    return np.kron(coarse, np.ones((8, 8)))[:, :h, :w].astype(np.float32) + rng.standard_normal(
        (classes, h, w)
    ).astype(np.float32) * np.float32(0.1)


def noise(seed: int, classes: int, h: int, w: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((classes, h, w)).astype(np.float32)


def by_torch(logits: np.ndarray, h: int, w: int, align_corners: bool = False) -> np.ndarray:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    up = torch.nn.functional.interpolate(
        torch.from_numpy(np.array(logits))[None],
        size=(h, w),
        mode="bilinear",
        align_corners=align_corners,
    )
    return up.argmax(1)[0].numpy()


def slow(logits: np.ndarray, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
    """Interpolate in float64 at every pair of positions, then arg-max."""

    def along(values: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
        size = values.shape[axis]
        at = np.clip(at, 0, size - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, size - 1)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(3)])
        return values.take(low, axis) * (1 - share) + values.take(high, axis) * share

    return along(along(logits.astype(np.float64), ys, 1), xs, 2).argmax(0)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("make", [smooth, noise])
@pytest.mark.parametrize(("h", "w", "out_h", "out_w"), SIZES)
def test_no_pixel_differs_from_torch(make, h, w, out_h, out_w, align_corners) -> None:
    logits = make(7, 21, h, w)
    got = upsample_argmax(logits, out_h, out_w, align_corners=align_corners)
    want = by_torch(logits, out_h, out_w, align_corners)
    assert got.dtype == np.uint8
    assert (got != want).sum() == 0


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_any_magnitude(scale: float) -> None:
    logits = smooth(9, 5, 65, 65) * np.float32(scale)
    np.testing.assert_array_equal(upsample_argmax(logits, 260, 257), by_torch(logits, 260, 257))


def test_near_ties_go_where_torch_puts_them() -> None:
    # neighbours in float32: some interpolated values round to a tie, which the lower class wins
    # four classes: for three, torch on a single thread takes another kernel with other roundings
    logits = np.full((4, 40, 40), 0.7, np.float32)
    up = np.random.default_rng(0).integers(0, 3, logits.shape)
    for _ in range(2):
        logits = np.where(up > 0, np.nextafter(logits, np.float32(1)), logits)
        up -= 1
    np.testing.assert_array_equal(upsample_argmax(logits, 300, 290), by_torch(logits, 300, 290))


def test_ties_go_to_the_lower_class() -> None:
    assert (upsample_argmax(np.zeros((4, 3, 3), np.float32), 9, 11) == 0).all()
    logits = np.zeros((4, 5, 5), np.float32)
    logits[2:] = 1
    assert (upsample_argmax(logits, 17, 17) == 2).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_as_in_torch(bad: float) -> None:
    logits = smooth(1, 6, 30, 30)
    logits[3, 10:12, 7] = bad
    logits[4, 20, 20:22] = bad
    np.testing.assert_array_equal(upsample_argmax(logits, 200, 210), by_torch(logits, 200, 210))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_single_rows_and_columns(shape: tuple[int, int]) -> None:
    logits = noise(3, 5, *shape)
    np.testing.assert_array_equal(upsample_argmax(logits, 140, 150), by_torch(logits, 140, 150))
    assert upsample_argmax(logits, 1, 1).shape == (1, 1)


def test_shrinking_agrees_with_the_slow_version() -> None:
    logits = noise(5, 4, 60, 50)
    ys = (np.arange(20) + 0.5) * 3 - 0.5
    xs = (np.arange(25) + 0.5) * 2 - 0.5
    np.testing.assert_array_equal(upsample_argmax(logits, 20, 25), slow(logits, ys, xs))


def test_padding_is_cropped_where_nothing_was_resized() -> None:
    logits = noise(6, 21, 48, 64)
    grid = NetworkGrid(384, 512, 375, 500)
    want = by_torch(logits, 384, 512)[:375, :500]
    np.testing.assert_array_equal(upsample_argmax(logits, 375, 500, grid=grid), want)


@pytest.mark.parametrize("align_corners", [False, True])
def test_resized_and_padded_is_mapped_in_one_step(align_corners: bool) -> None:
    logits = noise(8, 9, 60, 80)
    grid = NetworkGrid(240, 320, 213, 320)
    got = upsample_argmax(logits, 500, 750, grid=grid, align_corners=align_corners)
    ys = (np.arange(500) + 0.5) * (213 / 500) - 0.5
    xs = (np.arange(750) + 0.5) * (320 / 750) - 0.5
    if align_corners:
        ys, xs = ys * (59 / 239), xs * (79 / 319)
    else:
        ys, xs = (ys + 0.5) / 4 - 0.5, (xs + 0.5) / 4 - 0.5
    valid = valid_count(60, 240, 213)
    assert valid == 54
    want = slow(logits[:, :valid], ys, xs)
    assert (got == want).mean() > 0.9999


def test_padding_never_leaks_into_a_resized_image() -> None:
    logits = noise(8, 9, 60, 80)
    grid = NetworkGrid(240, 320, 213, 320)
    before = upsample_argmax(logits, 500, 750, grid=grid)
    logits[:, 54:] = 1e9
    np.testing.assert_array_equal(upsample_argmax(logits, 500, 750, grid=grid), before)


@pytest.mark.parametrize("view", [lambda a: a[:, ::2, ::-1], lambda a: a.transpose(0, 2, 1)])
def test_any_strides_and_read_only(view) -> None:
    logits = view(noise(2, 5, 33, 33))
    logits.flags.writeable = False
    got = upsample_argmax(logits, 150, 160)
    np.testing.assert_array_equal(got, by_torch(logits, 150, 160))


def test_half_precision_and_many_classes() -> None:
    logits = noise(2, 300, 12, 12).astype(np.float16)
    got = upsample_argmax(logits, 140, 140)
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got, by_torch(logits.astype(np.float32), 140, 140))


@pytest.mark.parametrize("classes", [1, 2, 21, 257])
def test_argmax_at_the_own_resolution(classes: int) -> None:
    logits = noise(4, classes, 17, 23)
    np.testing.assert_array_equal(argmax(logits), logits.argmax(0))
    np.testing.assert_array_equal(argmax(logits, 9, 8), logits[:, :9, :8].argmax(0))
    np.testing.assert_array_equal(upsample_argmax(logits, 17, 23), logits.argmax(0))


def test_wrong_input_is_named() -> None:
    with pytest.raises(InvalidInput, match="int64"):
        argmax(np.zeros((2, 2, 2), np.int64))
    with pytest.raises(InvalidInput, match=r"\[2, 2\]"):
        argmax(np.zeros((2, 2), np.float32))
    with pytest.raises(InvalidInput, match=r"\[3, 2\]"):
        argmax(np.zeros((2, 2, 2), np.float32), 3, 2)
    with pytest.raises(InvalidInput, match="positive"):
        upsample_argmax(np.zeros((2, 2, 2), np.float32), 0, 2)
    with pytest.raises(InvalidInput, match="classes"):
        argmax(np.zeros((65537, 1, 1), np.float32))
