import json
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.pointrend_semantic import (  # noqa: E402  after the skip
    PointRendSemantic,
    PointRendWidths,
    closest_calls,
    sample_maps,
)

SLIM = PointRendWidths((1, 1, 1, 1), stem=4, pyramid=8, coarse=32, points=64)


def test_names_and_shapes_are_those_of_the_checkpoints(goldens: Path) -> None:
    manifest = goldens / "d2_pointrend_semantic_R101_FPN_cityscapes" / "manifest.json"
    entries = json.loads(manifest.read_text())["entries"]
    with torch.device("meta"):
        state = PointRendSemantic(19).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == {e["key"]: e["shape"] for e in entries}


def test_logits_of_every_pixel_alone_and_in_a_batch() -> None:
    torch.manual_seed(0)
    model = PointRendSemantic(5, SLIM).eval()
    images = torch.randn(3, 3, 64, 96)
    with torch.inference_mode():
        together = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    assert together.shape == (3, 5, 64, 96)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_trunk_whose_norms_learn() -> None:
    model = PointRendSemantic(5, SLIM, learns_norms=True)
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert all(norm.weight.requires_grad for norm in norms)
    assert model.eval()(torch.zeros(1, 3, 64, 32)).shape == (1, 5, 64, 32)


def test_fewer_positions_than_points() -> None:
    model = PointRendSemantic(2, PointRendWidths((1, 1, 1, 1), 4, 8, 32, points=8192)).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 32, 64)).shape == (1, 2, 32, 64)


def test_only_the_doubtful_positions_are_judged_again() -> None:
    model = PointRendSemantic(3, SLIM).eval()
    seen = []
    model.sem_seg_head.point_head.register_forward_hook(lambda _m, i, _o: seen.append(i[0].shape))
    with torch.inference_mode():
        model(torch.randn(2, 3, 64, 64))
    assert seen == [(2, 8, 64), (2, 8, 64)]


def test_closest_calls() -> None:
    logits = torch.zeros(1, 3, 2, 4)
    logits[0, 1] = torch.tensor([[9.0, 1, 7, 6], [5, 4, 3, 2]])
    index, points = closest_calls(logits, 2)
    assert sorted(index[0].tolist()) == [1, 7]
    assert sorted(points[0].tolist()) == [[0.375, 0.25], [0.875, 0.75]]


def test_points_are_sampled_between_centres_and_fade_to_zero() -> None:
    features = torch.tensor([[[[1.0, 3.0]]]])
    points = torch.tensor([[[0.25, 0.5], [0.5, 0.5], [0.0, 0.5], [1.0, 0.5]]])
    assert sample_maps(features, points).tolist() == [[[1.0, 2.0, 0.5, 1.5]]]


def test_choosing_and_sampling_are_known_to_torchscript() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        choose, sample = torch.jit.script(closest_calls), torch.jit.script(sample_maps)
    logits = torch.randn(2, 4, 6, 8)
    for count in (5, 99):
        index, points = choose(logits, count)
        assert torch.equal(index, closest_calls(logits, count)[0])
        torch.testing.assert_close(sample(logits, points), sample_maps(logits, points))
