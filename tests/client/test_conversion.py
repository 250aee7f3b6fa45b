"""Python values to messages and back."""

import numpy as np
import pytest

from segserve.client.conversion import Job, from_response, to_request
from segserve.client.errors import SegserveError
from segserve.core.errors import ErrorKind
from segserve.core.options import MaskFormat, OutputSize, Refine, SegmentOptions
from segserve.core.prompts import Point, Prompt
from segserve.core.regions import Rle
from segserve.generated.segserve.v1 import segmentation_pb2 as pb


def test_unset_differs_from_zero():
    unset = to_request(b"x", Job("m"))
    assert unset.options == pb.SegmentOptions()
    assert not unset.HasField("priority")
    assert unset.model_version == ""
    zeros = SegmentOptions(score_threshold=0.0, top_k=0, min_area_px=0)
    options = to_request(b"x", Job("m", 1, zeros, 0)).options
    assert all(options.HasField(name) for name in ("score_threshold", "top_k", "min_area_px"))


def test_parameters_and_prompts_are_sent():
    prompts = (
        Prompt(points=(Point(1, 2), Point(3, 4, inside=False)), box=(1, 2, 3, 4)),
        Prompt(mask=Rle(5, 6, b"01")),
    )
    options = SegmentOptions(parameters={"clusters": "3"}, prompts=prompts)
    request = to_request(b"x", Job("m", options=options))
    assert dict(request.options.parameters) == {"clusters": "3"}
    first, second = request.prompts.prompts
    assert [(p.x, p.y, p.inside) for p in first.points] == [(1, 2, True), (3, 4, False)]
    assert (first.box.x1, first.box.y2) == (1, 4)
    assert (second.mask.height_px, second.mask.counts) == (5, b"01")
    assert not second.HasField("box")


@pytest.mark.parametrize(
    ("member", "number"),
    [
        *[(m, pb.MaskFormat.Value(f"MASK_FORMAT_{m.name}")) for m in MaskFormat],
        *[(m, pb.Refine.Value(f"REFINE_{m.name}")) for m in Refine],
        *[(m, pb.OutputSize.Value(f"OUTPUT_SIZE_{m.name}")) for m in OutputSize],
    ],
)
def test_every_enum_value_is_sent(member, number):
    field = {MaskFormat: "mask_format", Refine: "refine", OutputSize: "output_size"}[type(member)]
    request = to_request(b"x", Job("m", options=SegmentOptions(**{field: member})))
    assert getattr(request.options, field) == number


def test_paths_of_either_kind_are_read(tmp_path):
    (tmp_path / "x.png").write_bytes(b"png")
    for path in (tmp_path / "x.png", str(tmp_path / "x.png")):
        assert to_request(path, Job("m")).encoded == b"png"
    with pytest.raises(SegserveError, match=r"cannot read '/nowhere\.png': No such file"):
        to_request("/nowhere.png", Job("m"))


def test_pixels_are_sent_row_by_row():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    request = to_request(pixels[:, ::2], Job("m"), "7")
    assert (request.id, request.raw.height_px, request.raw.width_px) == ("7", 2, 2)
    assert request.raw.data == pixels[:, ::2].tobytes()


@pytest.mark.parametrize("array", [np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8)])
def test_other_arrays_are_refused(array):
    with pytest.raises(SegserveError, match=r"uint8 \[H, W, 3\]"):
        to_request(array, Job("m"))


def test_a_number_that_does_not_fit_is_refused():
    for options in (SegmentOptions(top_k=-1), SegmentOptions(label_ids=(2**40,))):
        with pytest.raises(SegserveError, match="out of range"):
            to_request(b"x", Job("m", options=options))


def test_a_whole_answer():
    told = pb.SegmentResponse(
        id="7",
        model_name="m",
        model_version="12",
        model_digest="sha256:a",
        image_digest="sha256:b",
        width_px=6,
        height_px=5,
        batch_size=4,
        refined=False,
        timings=pb.Timings(decode_us=1500, infer_us=2_000_000),
        regions=pb.Regions(
            boxes=[0, 1, 2, 3, 4, 5, 6, 7],
            scores=[0.75, 0.5],
            label_ids=[1, 2],
            labels=["cat", "dog"],
            areas_px=[9, 8],
            mask_counts=[b"N2", b"N3"],
            mask_height_px=5,
            mask_width_px=6,
            region_ids=["r1", "r2"],
            descriptors=[1, 2, 3, 4],
            descriptor_size=2,
        ),
        label_map=pb.LabelMap(
            height_px=5,
            width_px=6,
            segments=[
                pb.Segment(segment_id=9, label_id=3, label="sky", area_px=20),
                pb.Segment(segment_id=10, is_thing=True, score=0.5, mask=pb.Rle(counts=b"x")),
            ],
        ),
    )
    result = from_response(told)
    assert (result.version, result.batch_size, result.refined, result.id) == (12, 4, False, "7")
    assert (result.timings.decode_s, result.timings.infer_s) == (0.0015, 2.0)
    second = result.regions[1]
    assert (second.box, second.score, second.label_id) == ((4, 5, 6, 7), 0.5, 2)
    assert (second.label, second.area, second.mask) == ("dog", 8, Rle(5, 6, b"N3"))
    assert (second.region_id, second.descriptor) == ("r2", (3.0, 4.0))
    sky, thing = result.segments
    assert (sky.segment_id, sky.label_id, sky.label, sky.score, sky.mask) == (
        9,
        3,
        "sky",
        None,
        None,
    )
    assert (thing.is_thing, thing.score, thing.mask.counts) == (True, 0.5, b"x")
    assert (result.map.height_px, result.map.png, result.map.raw) == (5, None, None)


def test_what_is_absent_is_absent():
    result = from_response(pb.SegmentResponse())
    assert (result.regions, result.segments, result.map, result.refined) == ((), (), None, None)
    bare = from_response(pb.SegmentResponse(regions=pb.Regions(**columns())))
    assert (bare.regions[0].label, bare.regions[0].mask, bare.regions[0].region_id) == (
        "",
        None,
        "",
    )


def columns(**changes):
    whole = {"boxes": [0, 0, 1, 1], "scores": [1], "label_ids": [0], "areas_px": [1]}
    return whole | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"boxes": [1.0]},
        {"scores": []},
        {"labels": ["a", "b"]},
        {"mask_counts": [b"", b""]},
        {"descriptors": [1.0], "descriptor_size": 2},
    ],
)
def test_columns_of_different_lengths_are_refused(changes):
    with pytest.raises(SegserveError, match="columns") as caught:
        from_response(pb.SegmentResponse(regions=pb.Regions(**columns(**changes))))
    assert caught.value.kind is ErrorKind.INTERNAL
