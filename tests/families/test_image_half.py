"""From encoded bytes to the network's input."""

import io

import numpy as np
import pytest
from PIL import Image

from segserve.core.errors import InvalidInput, LoadFailed, TooLarge
from segserve.core.messages import EncodedImage, RawImage
from segserve.core.options import DEFAULT_OPTIONS
from segserve.core.tensor import DataType, TensorSpec
from segserve.families.image_half import ImageHalf, context_of
from segserve.families.input_rule import parse_input_rule
from segserve.families.shapes import Placement

IMAGENET = {"scale": "1/255", "mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}
PAD = {"resize": "longest_side:320", "shape_policy": "pad", "buckets": "240x320,320x240,320x320"}


def half(dims=(3, -1, -1), limit: int = 10**6, **parameters: str) -> ImageHalf:
    spec = TensorSpec("image", DataType.FP32, dims)
    return ImageHalf(spec, parse_input_rule(parameters), limit)


def prepared(images: ImageHalf, image) -> np.ndarray:
    plan = images.plan(image)
    out = np.full(plan.inputs_shapes["image"], np.nan, np.float32)
    images.prepare(image, plan, out)
    return out


def pixels_of(image: EncodedImage) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image.data)).convert("RGB"))


def test_plan_of_the_exact_rule(photo) -> None:
    plan = half().plan(photo(40, 60))
    assert (plan.source_height_px, plan.source_width_px) == (40, 60)
    assert plan.inputs_shapes == {"image": (3, 40, 60)}
    assert plan.bucket == (40, 60)
    assert plan.decoded_bytes == 7200
    assert plan.padding_ratio == 0


def test_plan_of_a_padded_bucket(photo) -> None:
    plan = half(**PAD).plan(photo(40, 60))
    assert plan.inputs_shapes == {"image": (3, 240, 320)}
    assert context_of(plan).placement == Placement((240, 320), (213, 320))
    assert plan.padding_ratio == pytest.approx(1 - 213 / 240)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_exact_equals_the_official_formula_bit_for_bit(photo, kind: str) -> None:
    image = photo(40, 60, kind)
    scaled = pixels_of(image).astype(np.float32) / np.float32(255)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    want = ((scaled - mean) / std).transpose(2, 0, 1)
    np.testing.assert_array_equal(prepared(half(**IMAGENET), image), want)


def test_pillow_resize_is_pillows(photo) -> None:
    image = photo(40, 60)
    want = np.asarray(Image.fromarray(pixels_of(image)).resize((30, 20), Image.Resampling.BILINEAR))
    got = prepared(half(resize="longest_side:30"), image)
    np.testing.assert_array_equal(got, want.transpose(2, 0, 1).astype(np.float32))


@pytest.mark.parametrize("interpolation", ["pillow_bilinear", "fast_bilinear"])
def test_every_pixel_of_the_row_is_written(photo, interpolation: str) -> None:
    out = prepared(half(**PAD, **IMAGENET, interpolation=interpolation), photo(40, 60))
    assert np.isfinite(out).all()
    assert (out[:, 213:] == 0).all()
    assert (out[:, :213] != 0).mean() > 0.99


def test_raw_pixels_are_like_a_png(photo) -> None:
    image = photo(40, 60)
    raw = RawImage(pixels_of(image))
    np.testing.assert_array_equal(prepared(half(**PAD), raw), prepared(half(**PAD), image))


def test_orientation_swaps_the_sides(photo) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    out = io.BytesIO()
    Image.fromarray(pixels_of(photo(40, 60))).save(out, "PNG", exif=exif)
    plan = half().plan(EncodedImage(out.getvalue()))
    assert (plan.source_height_px, plan.source_width_px) == (60, 40)
    assert prepared(half(), EncodedImage(out.getvalue())).shape == (3, 60, 40)


def test_large_jpegs_are_decoded_smaller_under_fast_rules_alone(photo, monkeypatch) -> None:
    seen = []

    def spy(data, *, min_size_px, max_pixels, header):
        seen.append(min_size_px)
        return np.zeros((640, 640, 3), np.uint8)

    monkeypatch.setattr("segserve.families.image_half.decode", spy)
    image = photo(640, 640, "JPEG")
    for rule in (
        {},
        {"resize": "longest_side:320"},
        {"interpolation": "fast_bilinear"},
        {"interpolation": "fast_bilinear", "resize": "longest_side:320"},
        {"interpolation": "fast_bilinear", "shape_policy": "resize", "buckets": "64x64"},
    ):
        prepared(half(**rule), image)
    assert seen == [None, None, None, (320, 320), (64, 64)]


def test_limits(photo) -> None:
    with pytest.raises(TooLarge, match="limit is 2000"):
        half(limit=2000).plan(photo(40, 60))
    with pytest.raises(TooLarge, match="limit is 2000"):
        half(limit=2000).plan(RawImage(np.zeros((40, 60, 3), np.uint8)))


def test_a_picture_that_is_too_much_for_the_network(photo) -> None:
    said = "1000x1 image would be 2000x2 for the network, over the model's limit of 3999 pixels"
    with pytest.raises(TooLarge, match=said):
        half(max_network_pixels="3999", resize="shortest_side:2").plan(photo(1, 1000))
    assert half(max_network_pixels="4000", resize="shortest_side:2").plan(photo(1, 1000))
    with pytest.raises(TooLarge, match=r"46800x520 for the network, .* of 16777216 pixels"):
        half(resize="shortest_side:520").plan(photo(1, 90))


@pytest.mark.parametrize(
    ("pixels", "names"),
    [
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        (np.zeros((4, 4), np.uint8), r"\[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"\[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
    ],
)
def test_bad_raw_pixels_are_named(pixels: np.ndarray, names: str) -> None:
    with pytest.raises(InvalidInput, match=names):
        half().plan(RawImage(pixels))


def test_broken_image(photo) -> None:
    image = photo(40, 60, "JPEG")
    cut = EncodedImage(image.data[: len(image.data) // 2])
    plan = half().plan(cut)
    with pytest.raises(InvalidInput, match="cut off"):
        half().prepare(cut, plan, np.empty((3, 40, 60), np.float32))


def test_fixed_inputs(photo) -> None:
    assert half((3, 40, 60)).plan(photo(40, 60)).bucket == (40, 60)
    assert half((3, 64, 64), resize="stretch:64x64").plan(photo(40, 60)).bucket == (64, 64)
    with pytest.raises(InvalidInput, match=r"takes \[3, 64, 64\]"):
        half((3, 64, 64)).plan(photo(40, 60))
    with pytest.raises(LoadFailed, match="ask for 32x32"):
        half((3, 64, 64), resize="stretch:32x32")


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("image", DataType.UINT8, (3, -1, -1)),
        TensorSpec("image", DataType.FP32, (1, -1, -1)),
        TensorSpec("image", DataType.FP32, (-1, -1)),
    ],
)
def test_inputs_that_are_no_image(spec: TensorSpec) -> None:
    with pytest.raises(LoadFailed, match=r"TYPE_FP32 \[3, H, W\]"):
        ImageHalf(spec, parse_input_rule({}), 100)


def test_context_of_a_strangers_plan(semantic, photo) -> None:
    import dataclasses

    plan = semantic().plan(photo(), DEFAULT_OPTIONS)
    with pytest.raises(InvalidInput, match="int"):
        context_of(dataclasses.replace(plan, context=3))


DETECTOR = {"resize": "shortest_side:60,90", "size_multiple": "32"}


def test_padding_to_a_multiple_and_the_size_beside_it(photo) -> None:
    spec = TensorSpec("image", DataType.FP32, (3, -1, -1))
    rule = parse_input_rule({**IMAGENET, **DETECTOR, "size_rounding": "mmcv"})
    images = ImageHalf(spec, rule, 10**6, "image_size")
    plan = images.plan(photo(40, 70))
    assert plan.inputs_shapes == {"image": (3, 64, 96), "image_size": (2,)}
    assert plan.bucket == (64, 96)
    assert context_of(plan).placement == Placement((64, 96), (51, 90))
    out = {n: np.full(shape, np.nan, np.float32) for n, shape in plan.inputs_shapes.items()}
    images.fill(photo(40, 70), plan, out)
    assert out["image_size"].tolist() == [51, 90]
    assert (out["image"][:, 51:] == 0).all()
    assert (out["image"][:, :, 90:] == 0).all()
    assert out["image"][:, :51, :90].std() > 0.1


def test_sizes_that_the_model_does_not_take_are_refused_before_decoding(photo) -> None:
    images = half(resize="shortest_side:64", required_multiple="32x64")
    assert images.plan(photo(40, 80)).bucket == (64, 128)
    with pytest.raises(InvalidInput, match=r"60x40 image.* 96x64, .*multiples of 64x32"):
        images.plan(photo(40, 60))


@pytest.mark.parametrize(("kind", "policy"), [("opencv", {}), ("torch", {}), ("torch", PAD)])
def test_the_interpolation_that_was_asked_for(photo, kind: str, policy) -> None:
    cv2 = pytest.importorskip("cv2")
    image = photo(40, 60)
    resize = policy or {"resize": "stretch:97x131"}
    got = prepared(half(**IMAGENET, **resize, interpolation=f"{kind}_bilinear"), image)
    pixels = pixels_of(image)
    pixels = pixels if kind == "opencv" else pixels.astype(np.float32)
    size = (97, 131) if not policy else (213, 320)
    want = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    mean, std = (np.float32(IMAGENET[key].split(",")) for key in ("mean", "std"))
    want = ((want / np.float32(255) - mean) / std).transpose(2, 0, 1)
    tolerance = 0 if kind == "opencv" else 5e-3  # cv2's float path rounds its weights
    np.testing.assert_allclose(got[:, : size[0], : size[1]], want, atol=tolerance)


def test_description_tells_the_rule() -> None:
    told = half(**DETECTOR, size_rounding="detectron2").describe()
    assert told["resize"] == {
        "kind": "shortest_side",
        "side_px": 60,
        "max_side_px": 90,
        "rounding": "detectron2",
    }
    assert told["interpolation"] == "pillow_bilinear"
    assert told["size_multiple"] == 32


@pytest.mark.parametrize(("of", "told"), [("content", [30.0, 20.0]), ("source", [40.0, 60.0])])
def test_the_second_input_is_told_a_size(photo, of: str, told: list[float]) -> None:
    rule = parse_input_rule({"resize": "stretch:30x20", "image_size_of": of})
    images = ImageHalf(TensorSpec("image", DataType.FP32, (3, -1, -1)), rule, 10**6, "size")
    image = photo(40, 60)
    plan = images.plan(image)
    rows = {name: np.zeros(shape, np.float32) for name, shape in plan.inputs_shapes.items()}
    images.fill(image, plan, rows)
    assert rows["size"].tolist() == told
