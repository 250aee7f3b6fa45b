import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.points import (  # noqa: E402  after the skip
    in_boxes,
    most_uncertain,
    regular_grid,
    sample_points,
)


def test_sampling_is_grid_sample() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 6, 9, generator=generator)
    at = torch.rand(4, 50, 2, generator=generator) * torch.tensor([13.0, 10]) - 2
    image = torch.tensor([1, 0, 0, 1])
    expected = torch.nn.functional.grid_sample(
        features[image], (at / torch.tensor([9.0, 6]) * 2 - 1)[:, None], align_corners=False
    )[:, :, 0]
    got = sample_points(features, image, at)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    assert sample_points(features, image[:0], at[:0]).shape == (0, 3, 50)


def test_grid_and_boxes() -> None:
    grid = regular_grid(2, torch.zeros(0))
    assert grid.tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    assert in_boxes(grid[None, 1:2], torch.tensor([[10.0, 20, 18, 24]])).tolist() == [[[16, 21]]]


def test_the_least_certain_cells() -> None:
    logits = torch.tensor([[[9.0, -0.5, 9], [9, 9, 9], [0.1, 9, -9]]])
    index, points = most_uncertain(logits, 2)
    assert index.tolist() == [[6, 1]]
    torch.testing.assert_close(points, torch.tensor([[[1 / 6, 5 / 6], [0.5, 1 / 6]]]))
