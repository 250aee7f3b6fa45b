"""The bundled segmenters without weights, through a real server and both protocols."""

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from segserve.client import Client, SegserveError
from segserve.core.options import SegmentOptions
from segserve.core.prompts import Point, Prompt

NAMES = ("kmeans", "gmm", "slic", "felzenszwalb")
PROMPTED = ("graph_cut", "snake", "chan_vese", "random_walker", "selective_search")
OTHERS = {
    "texton": {"clusters": "2", "window_px": "5"},
    "mean_shift": {"colour": "20"},
    "normalized_cut": {"segments": "2", "superpixels": "40"},
}


@pytest.fixture(scope="module")
def image():
    random = np.random.default_rng(2)
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[10:50, 20:60] = (200, 150, 50)
    return np.clip(pixels + random.integers(0, 20, pixels.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def server(serve_module, repo_root):
    flags = [f"--load-model={name}" for name in (*NAMES, *PROMPTED, *OTHERS)]
    root = Path(repo_root) / "model_repository"
    started = serve_module("--model-repository", root, "--model-control-mode", "explicit", *flags)
    started.wait_event("ready", timeout_s=110)
    return started


def infer(server, model, body):
    request = urllib.request.Request(
        f"{server.http}/v2/models/{model}/infer", json.dumps(body).encode()
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_images_parameters_and_tensors(server, image):
    with Client(server.grpc, timeout_s=60) as client:
        for name in NAMES:
            found = client.segment(image, name)
            assert sum(s.area for s in found.segments) == image.shape[0] * image.shape[1]
        two = SegmentOptions(parameters={"clusters": "2", "features": "colour"})
        areas = [s.area for s in client.segment(image, "kmeans", two).segments]
        assert areas == [60 * 80 - 1600, 1600]
        for wrong in ({"clusters": "0"}, {"nonsense": "1"}):
            with pytest.raises(SegserveError, match=next(iter(wrong))):
                client.segment(image, "kmeans", SegmentOptions(parameters=wrong))
        with pytest.raises(SegserveError, match="'box' cannot be used"):
            client.segment(image, "kmeans", SegmentOptions(prompts=(Prompt(box=(0, 0, 9, 9)),)))
    small = image[::10, ::10]
    tensors = [
        {
            "name": "image",
            "shape": [1, *small.shape],
            "datatype": "UINT8",
            "data": small.reshape(-1).tolist(),
        },
        {"name": "clusters", "shape": [1, 1], "datatype": "INT32", "data": [2]},
    ]
    (labels,) = infer(server, "kmeans", {"inputs": tensors})["outputs"]
    assert labels["shape"] == [1, 6, 8]
    assert max(labels["data"]) == 1


def test_prompts_and_proposals(server, image):
    box = SegmentOptions(prompts=(Prompt(box=(15, 5, 65, 55)),))
    clicks = SegmentOptions(prompts=(Prompt(points=(Point(40, 30), Point(3, 3, inside=False))),))
    asked = {"graph_cut": box, "snake": box, "chan_vese": box, "random_walker": clicks}
    with Client(server.grpc, timeout_s=60) as client:
        for name, options in asked.items():
            areas = {s.label_id: s.area for s in client.segment(image, name, options).segments}
            assert areas[1] == pytest.approx(1600, rel=0.15), name
        named = client.segment(image, "graph_cut", SegmentOptions(label_ids=(1,))).segments
        assert [s.label for s in named] == ["object"]
        few = SegmentOptions(top_k=4)
        regions = client.segment(image, "selective_search", few).regions
        assert regions[0].box == pytest.approx((0, 0, 80, 60))
        assert 1 <= len(regions) <= 4
        assert regions[0].label == "proposal"


def test_the_three_that_take_neither_prompts_nor_clusters_alone(server, image):
    total = image.shape[0] * image.shape[1]
    with Client(server.grpc, timeout_s=60) as client:
        for name, parameters in OTHERS.items():
            options = SegmentOptions(parameters=parameters)
            areas = sorted(s.area for s in client.segment(image, name, options).segments)
            assert sum(areas) == total, name
            if name == "texton":
                assert len(areas) == 2
            else:
                assert areas == [1600, total - 1600] or areas[0] == pytest.approx(1600, rel=0.1)
            again = client.segment(image, name, options)
            assert sorted(s.area for s in again.segments) == areas
