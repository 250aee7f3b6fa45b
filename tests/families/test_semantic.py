"""Logits in, label map out, with every option."""

import io

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import BackendFailed, Cancelled, InvalidInput
from segserve.core.label_map import LabelMap
from segserve.core.messages import RawImage
from segserve.core.options import (
    DEFAULT_OPTIONS,
    MaskFormat,
    OutputSize,
    Refine,
    SegmentOptions,
)
from segserve.families.family import Family
from segserve.families.refined_labels import BYTES_PER_PIXEL
from segserve.ops import rle
from segserve.ops.bilinear import resize

HEIGHT, WIDTH = 40, 60


def logits_of(labels: np.ndarray) -> np.ndarray:
    return (np.arange(4)[:, None, None] == labels).astype(np.float32) * 5


@pytest.fixture
def quarters() -> np.ndarray:
    """Stride 4: label 0 on 6 columns, then 2 on 6, then 3 on the last 3; nothing is 1."""
    row = np.array([0] * 6 + [2] * 6 + [3] * 3)
    return logits_of(np.broadcast_to(row, (10, 15)))


def found(family: Family, photo, logits: np.ndarray, **options) -> LabelMap:
    chosen = SegmentOptions(**options)
    plan = family.plan(photo(HEIGHT, WIDTH), chosen)
    label_map = family.postprocess({"logits": logits}, plan, chosen).label_map
    assert label_map is not None
    return label_map


def test_segments_are_sorted_and_their_masks_fit(semantic, photo, quarters) -> None:
    label_map = found(semantic(), photo, quarters)
    assert (label_map.height_px, label_map.width_px) == (HEIGHT, WIDTH)
    assert [s.label_id for s in label_map.segments] == [0, 2, 3]
    assert [s.area for s in label_map.segments] == [24 * 40, 24 * 40, 12 * 40]
    total = np.zeros((HEIGHT, WIDTH), int)
    for segment in label_map.segments:
        assert segment.segment_id == segment.label_id
        assert segment.score is None
        mask = rle.decode(segment.mask)
        assert mask.sum() == segment.area
        total += mask
    assert (total == 1).all()
    assert label_map.labels is None
    assert label_map.png is None


def test_equals_torch_at_the_sources_size(semantic, photo) -> None:
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    logits = np.random.default_rng(0).standard_normal((4, 75, 100)).astype(np.float32)
    plan = semantic().plan(photo(299, 397), DEFAULT_OPTIONS)
    options = SegmentOptions(mask_format=MaskFormat.RAW)
    got = semantic().postprocess({"logits": logits}, plan, options).label_map.labels
    up = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], size=(299, 397), mode="bilinear"
    )
    np.testing.assert_array_equal(got, up.argmax(1)[0].numpy())


@pytest.mark.parametrize("mask_format", list(MaskFormat))
def test_mask_formats(semantic, photo, quarters, mask_format: MaskFormat) -> None:
    label_map = found(semantic(), photo, quarters, mask_format=mask_format)
    assert [s.area for s in label_map.segments] == [960, 960, 480]
    assert (label_map.segments[0].mask is not None) == (mask_format is MaskFormat.RLE)
    assert (label_map.labels is not None) == (mask_format is MaskFormat.RAW)
    assert (label_map.png is not None) == (mask_format is MaskFormat.PNG)


def test_png_holds_the_raw_map(semantic, photo, quarters) -> None:
    raw = found(semantic(), photo, quarters, mask_format=MaskFormat.RAW).labels
    png = found(semantic(palette="102030"), photo, quarters, mask_format=MaskFormat.PNG).png
    image = Image.open(io.BytesIO(png))
    np.testing.assert_array_equal(np.asarray(image), raw)
    assert image.convert("RGB").getpixel((0, 0)) == (0x10, 0x20, 0x30)


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({"top_k": 1}, [0]),
        ({"top_k": 0}, []),
        ({"top_k": 9}, [0, 2, 3]),
        ({"min_area_px": 480}, [0, 2, 3]),
        ({"min_area_px": 481}, [0, 2]),
        ({"label_ids": (3, 1)}, [3]),
        ({"label_ids": ()}, []),
        ({"label_ids": (2, 3), "top_k": 1}, [2]),
    ],
)
def test_filters(semantic, photo, quarters, options, want: list[int]) -> None:
    label_map = found(semantic(), photo, quarters, **options)
    assert [s.label_id for s in label_map.segments] == want


def test_ignored_and_thing_ids(semantic, photo, quarters) -> None:
    label_map = found(semantic(ignore_ids="0", thing_ids="3"), photo, quarters)
    assert [(s.label_id, s.is_thing) for s in label_map.segments] == [(2, False), (3, True)]


def test_stride(semantic, photo, quarters) -> None:
    label_map = found(
        semantic(), photo, quarters, output_size=OutputSize.STRIDE, mask_format=MaskFormat.RAW
    )
    np.testing.assert_array_equal(label_map.labels, quarters.argmax(0))
    assert (label_map.height_px, label_map.width_px) == (10, 15)


def test_padding_is_gone_from_both_sizes(semantic, photo) -> None:
    family = semantic(resize="longest_side:48", shape_policy="pad", buckets="48x48")
    logits = logits_of(np.full((12, 12), 1))
    logits[:, 8:] = logits_of(np.full((4, 12), 3))  # 40x60 -> 32x48 in 48x48: 8 of 12 rows
    assert [s.label_id for s in found(family, photo, logits).segments] == [1]
    small = found(family, photo, logits, output_size=OutputSize.STRIDE)
    assert (small.height_px, small.width_px) == (8, 12)
    assert [s.label_id for s in small.segments] == [1]


RAW = SegmentOptions(mask_format=MaskFormat.RAW)
PADDED = {"resize": "shortest_side:40", "size_multiple": "32"}


def labels_of(family, image, logits, options=RAW) -> np.ndarray:
    return family.postprocess(
        {"logits": logits}, family.plan(image, options), options
    ).label_map.labels


def test_the_network_s_grid_is_the_default_and_the_request_may_ask_for_the_source(
    semantic, photo
) -> None:
    logits = np.random.default_rng(0).standard_normal((4, 8, 16)).astype(np.float32)
    image = photo(75, 100)
    family = semantic(output_grid="network", **PADDED)
    assert family.describe()["output_grid"] == "network"
    labels = labels_of(family, image, logits)
    assert labels.shape == (40, 53)
    want = resize(logits, 64, 64)[:, :40, :53].argmax(axis=0)
    np.testing.assert_array_equal(labels, want)
    source = SegmentOptions(mask_format=MaskFormat.RAW, output_size=OutputSize.SOURCE)
    np.testing.assert_array_equal(
        labels_of(family, image, logits, source), labels_of(semantic(**PADDED), image, logits)
    )


def test_two_steps_go_through_the_network_s_size(semantic, photo) -> None:
    logits = np.random.default_rng(0).standard_normal((4, 16, 16)).astype(np.float32)
    large = np.ascontiguousarray(resize(logits, 64, 64)[:, :40, :53])
    want = resize(large, 75, 100).argmax(axis=0)
    got = labels_of(semantic(upsample="two_step", **PADDED), photo(75, 100), logits)
    assert np.mean(got == want) > 0.999
    direct = labels_of(semantic(**PADDED), photo(75, 100), logits)
    assert np.mean(direct == want) < 0.999
    same = labels_of(semantic(upsample="two_step"), photo(64, 64), logits)
    np.testing.assert_array_equal(same, resize(logits, 64, 64).argmax(axis=0))


def test_logits_may_be_read_only_half_precision_views(semantic, photo, quarters) -> None:
    batch = np.stack([quarters, quarters]).astype(np.float16)
    batch.flags.writeable = False
    assert [s.label_id for s in found(semantic(), photo, batch[1]).segments] == [0, 2, 3]


@pytest.mark.parametrize("shape", [(4, 10), (1, 4, 10, 15), (0, 10, 15)])
def test_logits_of_a_wrong_shape_are_the_models_fault(semantic, photo, shape) -> None:
    with pytest.raises(BackendFailed, match="logits"):
        found(semantic(), photo, np.zeros(shape, np.float32))


def test_options_that_do_not_apply(semantic, photo) -> None:
    with pytest.raises(InvalidInput, match="score_threshold does not apply"):
        semantic().plan(photo(), SegmentOptions(score_threshold=0.5))
    with pytest.raises(InvalidInput, match=r"label_ids must be in 0\.\.3, got 4"):
        semantic().plan(photo(), SegmentOptions(label_ids=(4,)))
    chosen = SegmentOptions(refine=Refine.DENSE_CRF, output_size=OutputSize.STRIDE)
    with pytest.raises(InvalidInput, match="leave out output_size=stride"):
        semantic().plan(photo(), chosen)


def test_a_refined_map_follows_the_picture(semantic) -> None:
    pixels = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    pixels[:, 31:] = 200
    step = np.full((10, 15), 0.4)
    step[:, 8:] = -0.4  # the network's border lies 3 pixels beside the picture's
    logits = np.stack([step, -step, step - 9, step - 9]).astype(np.float32)
    family, options = semantic(), SegmentOptions(refine=Refine.DENSE_CRF)
    plan = family.plan(RawImage(pixels), options)
    assert plan.decoded_bytes > family.plan(RawImage(pixels), DEFAULT_OPTIONS).decoded_bytes
    findings = family.refine(
        RawImage(pixels), {"logits": logits}, plan, options, stop=lambda: False
    )
    assert findings.refined is True
    areas = {s.label_id: s.area for s in findings.label_map.segments}
    assert areas == {0: 31 * HEIGHT, 1: 29 * HEIGHT}
    unrefined = family.postprocess({"logits": logits}, plan, options)
    assert {s.label_id: s.area for s in unrefined.label_map.segments} != areas
    assert unrefined.refined is None


def test_a_refinements_memory_grows_with_the_labels_that_are_likely(semantic, photo) -> None:
    options = SegmentOptions(refine=Refine.DENSE_CRF)
    plan = semantic().plan(photo(HEIGHT, WIDTH), options)
    flat = np.zeros((21, 10, 15), np.float32)
    sure = flat.copy()
    sure[3] = 20
    few, many = (
        (semantic().refine_bytes({"logits": x}, plan, options) - x.nbytes) / (HEIGHT * WIDTH)
        for x in (sure, flat)
    )
    assert few == BYTES_PER_PIXEL
    assert many == BYTES_PER_PIXEL + 16 * 20


def test_a_refinement_is_stopped(semantic, photo, quarters) -> None:
    options = SegmentOptions(refine=Refine.DENSE_CRF)
    plan = semantic().plan(photo(HEIGHT, WIDTH), options)
    with pytest.raises(Cancelled):
        semantic().refine(
            photo(HEIGHT, WIDTH), {"logits": quarters}, plan, options, stop=lambda: True
        )


def test_logits_that_cannot_be_refined_are_the_models_fault(semantic, photo) -> None:
    options = SegmentOptions(refine=Refine.DENSE_CRF)
    plan = semantic().plan(photo(), options)
    logits = np.full((4, 10, 15), np.nan, np.float32)
    with pytest.raises(BackendFailed, match="cannot be refined"):
        semantic().refine(photo(), {"logits": logits}, plan, options, stop=lambda: False)


def test_a_deviation_too_small_for_the_picture_is_the_callers_fault(semantic, photo) -> None:
    parameters = {"crf_bilateral_srgb": "0.001"}
    options = SegmentOptions(refine=Refine.DENSE_CRF, parameters=parameters)
    plan = semantic().plan(photo(HEIGHT, WIDTH), options)
    logits = {"logits": np.zeros((4, 10, 15), np.float32)}
    with pytest.raises(InvalidInput, match="too small for this image"):
        semantic().refine(photo(HEIGHT, WIDTH), logits, plan, options, stop=lambda: False)


def test_one_pixel(semantic, photo) -> None:
    plan = semantic().plan(photo(1, 1), DEFAULT_OPTIONS)
    out = {"image": np.empty((3, 1, 1), np.float32)}
    semantic().preprocess(photo(1, 1), plan, out)
    logits = logits_of(np.array([[2]]))
    (segment,) = (
        semantic().postprocess({"logits": logits}, plan, DEFAULT_OPTIONS).label_map.segments
    )
    assert (segment.label_id, segment.area, segment.mask.counts) == (2, 1, b"01")
