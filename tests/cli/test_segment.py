"""``segserve segment`` against a small server: output, exit codes, reasons."""

import json
import socket

import grpc
import numpy as np
import pytest

from segserve.cli.main import main
from segserve.client import rle_to_mask
from segserve.generated.segserve.v1 import segmentation_pb2 as pb


def check_mask(mask, size):
    assert set(mask) == {"size", "counts"}
    assert mask["size"] == size
    assert isinstance(mask["counts"], str)
    assert rle_to_mask(mask).shape == tuple(size)


def check_document(document, *, panoptic=False):
    """Check one line of ``--json`` against the schema of docs/client.md."""
    assert set(document) == {
        *("image", "model", "version", "model_digest", "timings_ms", "regions", "segments")
    }
    image = document["image"]
    assert {key: type(value) for key, value in image.items()} == {
        "path": str,
        "width": int,
        "height": int,
        "digest": str,
    }
    assert [type(document[key]) for key in ("model", "version", "model_digest")] == [str] * 3
    phases = {"decode", "queue", "batch", "infer", "post", "encode"}
    assert set(document["timings_ms"]) == phases
    assert all(isinstance(ms, float) for ms in document["timings_ms"].values())
    size = [image["height"], image["width"]]
    for region in document["regions"]:
        assert {key: type(value) for key, value in region.items()} == {
            "box": list,
            "score": float,
            "label_id": int,
            "label": str,
            "area": int,
            "mask": dict,
            "region_id": str,
        }
        assert len(region["box"]) == 4
        check_mask(region["mask"], size)
    more = {"segment_id", "is_thing", "score"} if panoptic else set()
    for found in document["segments"]:
        assert set(found) == {"label_id", "label", "area", "mask", *more}
        check_mask(found["mask"], size)
        assert rle_to_mask(found["mask"]).sum() == found["area"]


def test_json_is_one_line_an_image_and_nothing_else(segment, images, capsys):
    assert segment(*images, "--model", "m", "--json") == 0
    told = capsys.readouterr()
    documents = [json.loads(line) for line in told.out.splitlines()]
    assert [document["image"]["path"] for document in documents] == [str(path) for path in images]
    for document in documents:
        check_document(document)
        assert document["model"] == "m"
        assert document["version"] == "2"
        assert document["regions"] == []
        assert [found["label"] for found in document["segments"]] == ["background", "sky"]
        assert document["timings_ms"]["decode"] == 1.5
    assert told.err == ""


def test_instances_are_regions(segment, images, capsys):
    assert segment(images[0], "--model", "instances", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    check_document(document)
    assert document["segments"] == []
    (region,) = document["regions"]
    assert (region["box"], region["score"], region["label"]) == ([0, 0, 30, 8], 0.875, "sky")


def test_masks_are_rle_whichever_way_they_came(segment, images, capsys):
    assert segment(images[0], "--model", "m", "--json", "--mask-format", "raw") == 0
    document = json.loads(capsys.readouterr().out)
    check_document(document)
    sky = np.arange(20) < 8
    assert np.array_equal(rle_to_mask(document["segments"][1]["mask"]), np.tile(sky, (30, 1)).T)


def test_a_person_reads_classes_areas_and_timings(segment, images, capsys):
    assert segment(images[0], "--model", "m") == 0
    text = capsys.readouterr().out
    assert "30 x 20 px, model m version 2" in text
    assert "sky" in text
    assert "40.0%" in text
    assert "decode 1.5" in text
    assert segment(images[0], "--model", "instances") == 0
    assert "0.875" in capsys.readouterr().out


def test_nothing_is_chosen_for_the_user(segment, images, server, capsys):
    assert segment(images[0], "--model", "m") == 0
    assert server.requests[0].options == pb.SegmentOptions()
    assert server.requests[0].model_version == ""


def test_every_option_is_sent(segment, images, server, capsys):
    flags = ["--score-threshold", "0", "--top-k", "0", "--min-area", "7", "--labels", "4,0"]
    flags += ["--refine", "dense_crf", "--output-size", "stride", "--mask-format", "rle"]
    assert segment(images[0], "--model", "m", "--model-version", "3", *flags) == 0
    expected = pb.SegmentOptions(
        score_threshold=0,
        top_k=0,
        min_area_px=7,
        label_ids=[4, 0],
        refine=pb.REFINE_DENSE_CRF,
        output_size=pb.OUTPUT_SIZE_STRIDE,
        mask_format=pb.MASK_FORMAT_RLE,
    )
    assert server.requests[0].options == expected
    assert server.requests[0].model_version == "3"


def test_parameters_of_the_model_are_sent_as_they_stand(segment, images, server, capsys):
    flags = ["--parameter", "clusters=8", "--parameter", "seeds=1,2,0;3,4,1"]
    flags += ["--parameter", " note = a=b "]
    assert segment(images[0], "--model", "kmeans", *flags) == 0
    assert dict(server.requests[0].options.parameters) == {
        "clusters": "8",
        "seeds": "1,2,0;3,4,1",
        "note": "a=b",
    }


@pytest.mark.parametrize("text", ["clusters", "=8", ""])
def test_parameters_have_a_name_and_a_value(segment, images, server, capsys, text):
    with pytest.raises(SystemExit) as left:
        segment(images[0], "--model", "kmeans", "--parameter", text)
    assert left.value.code == 2
    assert "is not NAME=VALUE" in capsys.readouterr().err
    assert server.requests == []


def test_labels_by_name_are_picked_here(segment, images, server, capsys):
    assert segment(images[0], "--model", "m", "--labels", "sky", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [found["label"] for found in document["segments"]] == ["sky"]
    assert list(server.requests[0].options.label_ids) == []


def test_a_label_nearly_as_one_that_was_found_is_told(segment, images, server, capsys):
    assert segment(images[0], "--model", "m", "--labels", "Sky,zebra", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["segments"] == []
    assert told.err == (f"segserve segment: {images[0]}: no 'Sky' was found; did you mean 'sky'?\n")


def test_goes_on_after_a_failing_image(segment, images, server, capsys):
    server.failing = {images[1].read_bytes(): grpc.StatusCode.INVALID_ARGUMENT}
    assert segment(*images, "/nowhere.png", "--model", "m", "--json") == 1
    told = capsys.readouterr()
    assert [json.loads(line)["image"]["path"] for line in told.out.splitlines()] == [
        str(images[0]),
        str(images[2]),
    ]
    assert told.err.splitlines() == [
        f"segserve segment: {images[1]}: cannot use this image",
        "segserve segment: /nowhere.png: cannot read '/nowhere.png': No such file or directory",
    ]


def test_a_model_that_is_not_ready_has_answered(segment, images, server, capsys):
    server.failing = {images[0].read_bytes(): grpc.StatusCode.UNAVAILABLE}
    assert segment(*images, "--model", "m", "--json") == 1
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == len(images) - 1
    assert told.err.splitlines() == [f"segserve segment: {images[0]}: cannot use this image"]


def test_a_server_that_is_not_there(images, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        assert main(["segment", str(images[0]), "--model", "m", "--server", address]) == 1
    (reason,) = capsys.readouterr().err.splitlines()
    assert reason.startswith(f"segserve segment: no answer from {address} for ")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["x.png"], "required: --model"),
        (["--model", "m"], "required: IMAGE"),
        (["x.png", "--model", "m", "--topk", "3"], "did you mean --top-k?"),
        (["x.png", "--model", " "], "--model: it is empty"),
        (["x.png", "--model", "m", "--top-k", "-3"], "whole number from 0"),
        (["x.png", "--model", "m", "--top-k", "4294967296"], "from 0 to 4294967295"),
        (["x.png", "--model", "m", "--min-area", "9" * 5000], "from 0 to 18446744073709551615"),
        (["x.png", "--model", "m", "--model-version", "0"], "whole number from 1 to"),
        (["x.png", "--model", "m", "--labels", "3,99999999999"], "from 0 to 2147483647"),
        (["x.png", "--model", "m", "--timeout", "inf"], "finite"),
        (["x.png", "--model", "m", "--score-threshold", "1.5"], "0 to 1"),
        (["x.png", "--model", "m", "--score-threshold", "nan"], "0 to 1"),
        (["x.png", "--model", "m", "--timeout", "0"], "above 0"),
        (["x.png", "--model", "m", "--labels", ","], "label names or ids"),
        (["x.png", "--model", "m", "--mask-format", "gif"], "gif"),
        (["x.png", "--model", "m", "--overlay", "o.png", "--mask-format", "none"], "needs masks"),
        (["x.png", "--model", "m", "--top-k", "1", "--labels", "sky"], "labels as ids"),
    ],
)
def test_wrong_usage_exits_2(words, reason, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["segment", *words])
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


def test_an_address_that_is_none(images, capsys):
    assert main(["segment", str(images[0]), "--model", "m", "--server", "localhost"]) == 2
    assert "expected host:port" in capsys.readouterr().err


def test_overlays(segment, images, tmp_path, capsys):
    one = tmp_path / "deep" / "out.png"
    assert segment(images[0], "--model", "m", "--overlay", one) == 0
    assert one.is_file()
    assert str(one) in capsys.readouterr().out
    assert segment(*images, "--model", "m", "--overlay", tmp_path / "o.png", "--json") == 0
    assert all((tmp_path / f"o_{n}.png").is_file() for n in (1, 2, 3))
    folder = tmp_path / "folder"
    folder.mkdir()
    assert segment(*images, "--model", "m", "--overlay", folder) == 0
    assert {path.name for path in folder.iterdir()} == {"a_1.png", "b_2.png", "c_3.png"}


@pytest.mark.parametrize("flag", ["--overlay", "--compare-refine"])
@pytest.mark.parametrize("suffix", [".xyz", ".xbm", ".psd"])
def test_a_picture_of_no_known_kind_is_refused_first(segment, images, server, capsys, flag, suffix):
    with pytest.raises(SystemExit) as caught:
        segment(images[0], "--model", "m", flag, f"out{suffix}")
    assert caught.value.code == 2
    assert server.requests == []
    reason = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {flag}: got 'out{suffix}', expected .png, .jpg" in reason


def test_an_overlay_that_cannot_be_written(segment, images, capsys):
    out = images[1] / "o.png"  # below a file
    assert segment(images[0], "--model", "m", "--overlay", out) == 1
    assert "cannot write the overlay" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--mask-format", "none"], "--compare-refine needs masks"),
        (["--refine", "none"], "--compare-refine refines"),
    ],
)
def test_comparing_needs_masks_and_a_refinement(segment, images, capsys, flags, says):
    with pytest.raises(SystemExit):
        segment(images[0], "--model", "m", "--compare-refine", "out.png", *flags)
    assert says in capsys.readouterr().err


def test_comparing_asks_for_both(segment, images, server, capsys):
    code = segment(images[0], "--model", "m", "--compare-refine", "out.png")
    asked = [request.options.refine for request in server.requests]
    assert asked == [pb.REFINE_DENSE_CRF, pb.REFINE_NONE]
    assert code == 1  # this server refines nothing, and that is said
    assert "did not refine this image" in capsys.readouterr().err
