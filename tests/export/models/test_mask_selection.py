"""Candidates, mask quality and matrix NMS, against the original's way: one mask per candidate."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.mask_selection import (  # noqa: E402  after the skip
    MaskSelection,
    SelectionRule,
    front_rows,
    matrix_nms,
    set_first,
)

GRIDS, CLASSES, SIZE = (5, 3), 3, (6, 7)
CELLS = sum(g * g for g in GRIDS)
STRIDES = [1] * 25 + [4] * 9
RULE = SelectionRule(nms_rows=30, rows=8, cells_at_once=10)


class Stored(torch.nn.Module):
    """Masks that lie ready."""

    def forward(self, parts: list[torch.Tensor], cells: torch.Tensor) -> torch.Tensor:
        index = cells[:, :, None, None].expand(-1, -1, parts[0].shape[2], parts[0].shape[3])
        return parts[0].gather(1, index)


def selection(cuts=(CELLS,), rule=RULE):
    return MaskSelection([(Stored(), n) for n in cuts], STRIDES, rule)


def images(count, seed=0, share=0.3):
    """Random categories, of which a share are candidates, and masks of blobs."""
    generator = torch.Generator().manual_seed(seed)
    categories = torch.rand(count, CELLS, CLASSES, generator=generator)
    categories = categories * (torch.rand(categories.shape, generator=generator) < share)
    blobs = torch.rand(count, CELLS, 2, 2, generator=generator)
    masks = torch.nn.functional.interpolate(blobs, SIZE, mode="bilinear")
    return categories, masks


def official(categories, masks, rule):
    """One image, as the original counts; float64."""
    categories, masks = categories.double().numpy(), masks.double().numpy()
    rows = []
    for cell, label in np.argwhere(categories > rule.score_threshold):
        mask = masks[cell] > rule.mask_threshold
        if mask.sum() > STRIDES[cell]:
            score = categories[cell, label] * masks[cell][mask].mean()
            rows.append((score, cell, label, mask))
    rows = sorted(rows, key=lambda r: -r[0])[: rule.nms_rows]
    iou = np.zeros((len(rows), len(rows)))
    for j, (_, _, label, mask) in enumerate(rows):
        for i in range(j):
            if rows[i][2] == label:
                iou[i, j] = (rows[i][3] & mask).sum() / (rows[i][3] | mask).sum()
    kept = []
    for j, (score, cell, label, _) in enumerate(rows):
        worst = [iou[:i, i].max(initial=0) for i in range(j)]
        decays = [np.exp(-rule.sigma * (iou[i, j] ** 2 - worst[i] ** 2)) for i in range(j)]
        lowered = score * min([*decays, 1.0])
        if lowered >= rule.final_threshold:
            kept.append((lowered, cell, label))
    return sorted(kept, key=lambda r: -r[0])[: rule.rows]


@pytest.mark.parametrize("cuts", [(CELLS,), (25, 9), (10, 20, 4)])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_it_chooses_what_the_original_chooses(cuts, share) -> None:
    categories, masks = images(3, share=share)
    parts = [[part] for part in masks.split(list(cuts), dim=1)]
    scores, labels, valid, chosen = selection(cuts)(categories, parts)
    for b in range(3):
        expected = official(categories[b], masks[b], RULE)
        count = len(expected)
        assert count > 0
        assert int(valid[b]) == count
        assert np.allclose(scores[b, :count], [r[0] for r in expected], atol=1e-6)
        assert labels[b].tolist() == [r[2] for r in expected] + [-1] * (RULE.rows - count)
        for row, (_, cell, _) in enumerate(expected):
            assert torch.equal(chosen[b, row], masks[b, cell])
        assert float(chosen[b, count:].abs().sum() + scores[b, count:].abs().sum()) == 0


def test_a_picture_without_candidates() -> None:
    categories, masks = images(2)
    categories[0] = 0
    both = selection()(categories, [[masks]])
    assert int(both[2][0]) == 0
    assert both[1][0].tolist() == [-1] * RULE.rows
    assert float(both[3][0].abs().sum()) == 0
    alone = selection()(categories[1:], [[masks[1:]]])
    assert all(torch.equal(a[1:], b) for a, b in zip(both, alone, strict=True))


def test_images_of_a_batch_do_not_touch() -> None:
    categories, masks = images(5, seed=1)
    categories[2:4] *= torch.rand(2, CELLS, 1) < 0.2
    parts = [[masks[:, :25]], [masks[:, 25:]]]
    together = selection((25, 9))(categories, parts)
    for b in range(5):
        one = [[part[0][b : b + 1]] for part in parts]
        alone = selection((25, 9))(categories[b : b + 1], one)
        for whole, single in zip(together, alone, strict=True):
            assert torch.allclose(whole[b : b + 1].double(), single.double(), atol=1e-6)


def test_matrix_nms_decays_by_the_overlap_with_better_ones() -> None:
    masks = torch.tensor([[[1.0, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]])
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
    lowered = matrix_nms(masks, scores, torch.tensor([[0, 0, 1, 0]]), 2.0)
    half, quarter = np.exp(-2 * 0.25), np.exp(-2 * 0.0625)
    assert np.allclose(lowered, [[0.9, 0.8 * half, 0.7, 0.6 * quarter]], atol=1e-6)


def test_what_is_suppressed_itself_suppresses_less() -> None:
    """Row 1 equals row 0, so its own overlap with row 2 is compensated."""
    masks = torch.tensor([[[1.0, 1, 0], [1, 1, 0], [0, 1, 1]]])
    lowered = matrix_nms(masks, torch.tensor([[0.9, 0.8, 0.7]]), torch.zeros(1, 3).long(), 2.0)
    assert np.allclose(lowered, [[0.9, 0.8 * np.exp(-2), 0.7 * np.exp(-2 / 9)]], atol=1e-6)


def test_empty_masks_overlap_nothing() -> None:
    scores = torch.tensor([[0.5, 0.25]])
    assert torch.equal(matrix_nms(torch.zeros(1, 2, 4), scores, torch.zeros(1, 2), 2.0), scores)


def test_set_columns_come_first() -> None:
    flags = torch.tensor([[False, True, False, True], [True, True, True, False]])
    order = set_first(flags)
    assert order.tolist() == [[1, 3, 0, 2], [0, 1, 2, 3]]
    assert front_rows(order, torch.tensor(2)).tolist() == [[1, 3], [0, 1]]
    assert front_rows(order, torch.tensor(-5)).tolist() == [[1], [0]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("cuts", [(CELLS,), (25, 9)])
def test_torchscript(cuts) -> None:
    chosen = selection(cuts)
    categories, masks = images(2)
    parts = [[part] for part in masks.split(list(cuts), dim=1)]
    scripted = torch.jit.script(chosen)(categories, parts)
    assert all(torch.equal(a, b) for a, b in zip(chosen(categories, parts), scripted, strict=True))


@pytest.fixture(scope="module")
def graph():
    """The two-section selection in ONNX, its batch free."""
    pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the cpu extra: make demo")

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.selection = selection((25, 9), replace(RULE, cells_at_once=20))

        def forward(self, categories, masks):
            return self.selection(categories, [[masks[:, :25]], [masks[:, 25:]]])

    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Network(),
            images(2),
            dynamo=True,
            dynamic_shapes=({0: batch}, {0: batch}),
            opset_version=18,
            verbose=False,
        )
    data = program.model_proto.SerializeToString()
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("count", "share"), [(1, 0.3), (2, 0.02), (5, 0.3), (2, 0.0)])
def test_onnx(graph, count, share) -> None:
    categories, masks = images(count, seed=count, share=share)
    expected = selection((25, 9))(categories, [[masks[:, :25]], [masks[:, 25:]]])
    names = [i.name for i in graph.get_inputs()]
    got = graph.run(None, dict(zip(names, (categories.numpy(), masks.numpy()), strict=True)))
    for ours, theirs in zip(got, expected, strict=True):
        assert np.allclose(ours.astype(np.float64), theirs.numpy().astype(np.float64), atol=1e-6)
