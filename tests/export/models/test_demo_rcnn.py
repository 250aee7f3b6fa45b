import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.compare import run_eager_outputs  # noqa: E402  after the skip
from segserve.export.models.demo_rcnn import demo_mask_rcnn, demo_pointrend  # noqa: E402  same


@pytest.mark.parametrize("make", [demo_mask_rcnn, demo_pointrend])
def test_the_weights_stay_below_five_megabytes(make) -> None:
    assert sum(p.numel() * p.element_size() for p in make(6).state_dict().values()) < 4.9e6


def test_both_are_the_same_up_to_the_masks() -> None:
    first, second = (
        {key: value.shape for key, value in make(6).state_dict().items() if "mask_head" not in key}
        for make in (demo_mask_rcnn, demo_pointrend)
    )
    assert first == second


def test_twenty_rows_and_coarse_masks_beside_the_refined(lively, pictures) -> None:
    fed = pictures()
    with torch.random.fork_rng():
        boxes, scores, labels, valid, masks, coarse = run_eager_outputs(
            lively(lambda: demo_pointrend(6)), fed
        )
    assert boxes.shape == (2, 20, 4)
    assert scores.shape == labels.shape == (2, 20)
    assert valid.shape == (2,)
    assert masks.shape == (2, 20, 224, 224)
    assert coarse.shape == (2, 20, 7, 7)
    assert valid.sum() > 2
    is_row = np.arange(20) < valid[:, None]
    assert not coarse[~is_row].any()
    # Where refining is not needed both say the same, so their means are close.
    assert coarse[is_row].mean() == pytest.approx(masks[is_row].mean(), abs=0.1)
