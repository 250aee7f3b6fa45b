import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.solo_parts import (  # noqa: E402  after the skip
    SoloShape,
    by_cell,
    categories_of_cells,
    head_levels,
    original_names,
    peaks,
)


def test_the_published_grids() -> None:
    shape = SoloShape()
    assert sum(shape.cells) == 3872
    counts = {s: shape.min_pixels.count(s) for s in (8, 16, 32)}
    assert counts == {8: 1600 + 1296, 16: 576, 32: 256 + 144}


def test_peaks_look_up_and_left() -> None:
    scores = torch.tensor([[0.1, 0.3, 0.2], [0.3, 0.2, 0.4], [0.1, 0.5, 0.5]])[None, None]
    expected = torch.tensor([[0.1, 0.3, 0.0], [0.3, 0.0, 0.4], [0.0, 0.5, 0.5]])[None, None]
    assert torch.equal(peaks(scores), expected)


def test_cells_are_row_major() -> None:
    maps = torch.arange(12.0).reshape(1, 2, 2, 3)
    assert by_cell(maps)[0].tolist() == [[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]


def test_categories_of_levels_follow_one_another() -> None:
    joined = categories_of_cells([torch.zeros(2, 3, 2, 2), torch.full((2, 3, 1, 1), 50.0)])
    assert joined.shape == (2, 5, 3)
    assert joined[0, :, 0].tolist() == [0.5, 0.5, 0.5, 0.5, 1.0]


def test_levels_of_the_head() -> None:
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    pyramid = [torch.arange(h * w, dtype=torch.float32).reshape(1, 1, h, w) for h, w in sizes]
    levels = head_levels(pyramid)
    assert [tuple(x.shape[2:]) for x in levels] == [(8, 12), (8, 12), (4, 6), (2, 3), (2, 3)]
    assert float(levels[0][0, 0, 0, 0]) == (0 + 1 + 24 + 25) / 4
    assert levels[4][0, 0, 0].tolist() == pytest.approx([0.0, 0.5, 1.0], abs=0.17)
    assert levels[1] is pyramid[1]


def test_newer_names_become_the_original_ones() -> None:
    newer = {
        "backbone.conv1.weight": "backbone.conv1.weight",
        "mask_head.mask_feature_head.convs_all_levels.0.conv0.gn.bias": (
            "mask_feat_head.convs_all_levels.0.conv0.gn.bias"
        ),
        "mask_head.mask_feature_head.conv_pred.conv.weight": (
            "mask_feat_head.conv_pred.0.conv.weight"
        ),
        "mask_head.kernel_convs.3.conv.weight": "bbox_head.kernel_convs.3.conv.weight",
        "mask_head.cls_convs.0.gn.weight": "bbox_head.cate_convs.0.gn.weight",
        "mask_head.mask_convs_x.6.gn.bias": "bbox_head.ins_convs_x.6.gn.bias",
        "mask_head.conv_mask_list.4.bias": "bbox_head.solo_ins_list.4.bias",
        "mask_head.conv_kernel.bias": "bbox_head.solo_kernel.bias",
        "mask_head.conv_cls.weight": "bbox_head.dsolo_cate.weight",
    }
    values = {key: torch.tensor(i) for i, key in enumerate(newer)}
    renamed = original_names(values, "dsolo_cate")
    assert {newer[key]: value for key, value in values.items()} == renamed
    assert original_names(renamed, "dsolo_cate") == renamed
