import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.detections import (  # noqa: E402  after the skip
    DetectionRule,
    Detections,
    LevelRule,
)
from segserve.export.models.proposals import DROPPED, Proposals  # noqa: E402  same
from segserve.export.models.roi_align import Pooling  # noqa: E402  same
from segserve.export.models.two_stage import (  # noqa: E402  same
    BoxRule,
    box_stage,
    channel_of,
    mask_stage,
    pool_rows,
)

LEVELS, POOLING = LevelRule(2), Pooling(2, 2, aligned=True)
PYRAMID = [torch.full((2, 1, 80, 80), 1.0), torch.full((2, 1, 40, 40), 2.0), torch.zeros(1)]
SIZES = torch.tensor([[320.0, 320], [320, 320]])


def test_rows_are_pooled_from_their_level() -> None:
    rois = torch.tensor([[0, 0.0, 0, 200, 200], [1, 0, 0, 50, 50]])
    assert pool_rows(PYRAMID, rois, LEVELS, POOLING)[:, 0, 0, 0].tolist() == [2, 1]


@pytest.mark.parametrize("background_first", [True, False])
def test_classes_without_the_background(background_first: bool) -> None:
    boxes = torch.tensor([[10.0, 10, 60, 60], [0, 0, 0, 0]])
    logits = torch.tensor([5.0, DROPPED])
    proposals = Proposals(
        torch.stack([boxes, boxes * 0]), torch.stack([logits, logits * 0 + DROPPED])
    )
    seen = []

    def head(pooled):
        seen.append(len(pooled))
        scores = torch.tensor([[0.0, 3.0, 1.0]])
        offsets = torch.zeros(1, 12 if background_first else 8)
        return scores.expand(len(pooled), -1), offsets.expand(len(pooled), -1)

    rule = BoxRule(LEVELS, POOLING, DetectionRule(kept=3), background_first)
    found = box_stage(PYRAMID, proposals, SIZES, head, rule)
    assert seen == [1], "the head runs on the row that is there"
    assert found.valid.tolist() == [[True, background_first, False], [False] * 3]
    assert found.labels[0, 0] == 1
    assert found.boxes[0, 0].tolist() == boxes[0].tolist()
    assert found.scores[0, 0].item() == pytest.approx(0.844, abs=1e-3)


def test_masks_are_of_their_own_class() -> None:
    labels = torch.tensor([[1, -1], [0, -1]])
    valid = labels >= 0
    boxes = torch.tensor([[0.0, 0, 50, 50]]).expand(2, 2, 4) * valid[..., None]
    found = Detections(boxes, valid.float(), labels, valid)

    def head(pooled):
        return torch.tensor([-100.0, 100.0])[None, :, None, None].expand(len(pooled), -1, 3, 3)

    masks = mask_stage(PYRAMID, found, head, LEVELS, POOLING)
    assert masks.shape == (2, 2, 3, 3)
    assert masks[:, :, 0, 0].tolist() == [[1, 0], [0, 0]]


def test_channel_of() -> None:
    values = torch.arange(12.0).reshape(2, 3, 2)
    assert channel_of(values, torch.tensor([2, 0])).tolist() == [[4, 5], [6, 7]]
