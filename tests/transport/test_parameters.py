"""Reserved parameters and the choices for segmentation."""

import math

import pytest

from segserve.core.errors import InvalidInput, Unsupported
from segserve.core.messages import NO_TRACE, TraceContext
from segserve.core.options import DEFAULT_OPTIONS, MaskFormat, OutputSize, Refine, SegmentOptions
from segserve.transport.parameters import (
    flag,
    integer,
    number,
    read_choices,
    read_options,
    trace_context,
)


def test_unset_differs_from_zero():
    assert read_options({}) == DEFAULT_OPTIONS
    zero = read_options({"score_threshold": 0, "top_k": 0, "min_area_px": 0, "label_ids": ""})
    assert zero == SegmentOptions(score_threshold=0.0, top_k=0, min_area_px=0, label_ids=None)


def test_every_choice():
    given = {
        "mask_format": "PNG",
        "score_threshold": "0.25",
        "top_k": 3.0,
        "min_area_px": "12",
        "label_ids": "1, 2,15",
        "refine": "dense_crf",
        "output_size": "stride",
    }
    assert read_options(given) == SegmentOptions(
        mask_format=MaskFormat.PNG,
        score_threshold=0.25,
        top_k=3,
        min_area_px=12,
        label_ids=(1, 2, 15),
        refine=Refine.DENSE_CRF,
        output_size=OutputSize.STRIDE,
    )
    assert read_options({"label_ids": 4}).label_ids == (4,)


@pytest.mark.parametrize(
    "given",
    [
        {"mask_format.label_map": "png"},
        {"mask_format.mask_rle": "png", "mask_format": "PNG"},
        {"mask_format.segment_mask_rle": "png", "mask_format.segment_map": "png"},
    ],
)
def test_a_format_by_the_name_of_an_output(given):
    assert read_options(given) == SegmentOptions(mask_format=MaskFormat.PNG)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mask_format.boxes": "rle"}, "an output that holds masks: mask_rle, label_map"),
        ({"mask_format.": "rle"}, "an output that holds masks"),
        ({"mask_format.mask_rle": "gif"}, "'mask_format.mask_rle' must be one of rle, png"),
        ({"mask_format": "png", "mask_format.mask_rle": "rle"}, "have one format: give it once"),
    ],
)
def test_a_format_of_an_output_that_cannot_be(given, said):
    with pytest.raises(InvalidInput, match=said):
        read_options(given)


@pytest.mark.parametrize(
    "given",
    [
        {"mask_format": "gif"},
        {"mask_format": 1},
        {"mask_format": True},
        {"score_threshold": 1.5},
        {"score_threshold": math.nan},
        {"score_threshold": "much"},
        {"score_threshold": True},
        {"top_k": -1},
        {"top_k": 1.5},
        {"top_k": "1e3"},
        {"top_k": True},
        {"top_k": math.inf},
        {"top_k": 10**400},
        {"label_ids": "1,a"},
    ],
)
def test_a_bad_choice_names_itself(given):
    with pytest.raises(InvalidInput, match=next(iter(given))) as caught:
        read_options(given)
    assert len(caught.value.message) < 250


def test_numbers():
    assert integer("n", "9223372036854775807") == 2**63 - 1
    assert number("n", "1e3") == 1000.0
    for huge in (10**400, "9" * 30):
        with pytest.raises(InvalidInput):
            integer("n", huge)
    with pytest.raises(InvalidInput):
        number("n", 10**400)
    assert [flag("f", v) for v in (True, 1, "TRUE", 0, "false", False)] == [1, 1, 1, 0, 0, 0]
    with pytest.raises(InvalidInput, match="'f'"):
        flag("f", 2)


def test_sequences_are_refused_but_not_their_absence():
    assert read_choices({"sequence_id": 0, "sequence_start": False}).rest == {}
    for name, value in {"sequence_id": "a", "sequence_start": True, "sequence_end": 1}.items():
        with pytest.raises(Unsupported, match=name):
            read_choices({name: value})


def test_trace_context():
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert trace_context([("a", "b"), ("traceparent", good)]) == TraceContext(good)
    states = [("tracestate", "a=1"), ("tracestate", "b=2")]
    assert trace_context([*states, ("traceparent", good)]) == TraceContext(good, "a=1,b=2")
    assert trace_context([*states, ("traceparent", "00-zz"), ("traceparent", b"00")]) is NO_TRACE
    assert trace_context([]) is NO_TRACE
