"""SOLOv2's targets and losses, and two real steps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.recipes.solo_demo import SoloDemoRecipe  # noqa: E402
from segserve.training import demo_solov2  # noqa: E402
from segserve.training.instance_batches import Objects  # noqa: E402
from segserve.training.loop import Schedule  # noqa: E402

GRIDS = (20, 16, 14, 10, 8)


def square(top: int, left: int, side: int, label: int) -> Objects:
    masks = np.zeros((1, 240, 320), np.bool_)
    masks[0, top : top + side, left : left + side] = True
    return Objects(masks, np.array([label]))


def owned(objects: Objects) -> list[list[tuple[int, int]]]:
    """Cells (row, column) of each level that own something."""
    targets, first, found = demo_solov2.cell_targets(objects, GRIDS), 0, []
    for grid in GRIDS:
        level = targets.objects[first : first + grid * grid].reshape(grid, grid)
        found.append([(int(y), int(x)) for y, x in np.argwhere(level >= 0)])
        first += grid * grid
    return found


def test_an_object_belongs_to_the_levels_of_its_size_around_its_centre() -> None:
    # 60 px: levels 2 (24..72) and 3 (48..108); centre (90, 190), a fifth of the box around it
    found = owned(square(60, 160, 60, 4))
    assert [len(cells) > 0 for cells in found] == [False, True, True, False, False]
    assert found[1] == [(5, 9), (6, 9)]  # rows of 15 px, columns of 20 px
    targets = demo_solov2.cell_targets(square(60, 160, 60, 4), GRIDS)
    assert set(targets.classes[targets.objects >= 0]) == {4}
    assert (targets.classes[targets.objects < 0] == -1).all()


def test_large_objects_own_at_most_nine_cells_of_a_level() -> None:
    found = owned(square(5, 40, 230, 0))
    assert [len(cells) for cells in found[:4]] == [0, 0, 0, 0]
    assert 1 <= len(found[4]) <= 9


def test_an_object_at_the_border_stays_inside_the_grid() -> None:
    assert owned(square(200, 280, 40, 1))[0][-1] == (18, 19)


def test_the_category_loss_rewards_the_truth() -> None:
    classes = torch.tensor([[2, -1, 0]])
    right = torch.full((1, 3, 6), -8.0)
    right[0, 0, 2] = right[0, 2, 0] = 8.0
    assert demo_solov2.category_loss(right, classes) < 1e-4
    assert demo_solov2.category_loss(-right, classes) > 1
    assert demo_solov2.category_loss(right, torch.full((1, 3), -1)) > 1e-1


def test_the_mask_loss_is_dice() -> None:
    features = torch.zeros(2, 4, 4)
    features[0, :2], features[0, 2:] = 1.0, -1.0
    truth = torch.zeros(2, 4, 4)
    truth[:, :2] = 1
    kernels = torch.tensor([[30.0, 0.0], [-30.0, 0.0]])
    right, wrong = demo_solov2.mask_loss(kernels, features, truth).tolist()
    assert right == pytest.approx(0, abs=1e-3)
    assert wrong == pytest.approx(1, abs=1e-3)


def test_two_steps_write_a_checkpoint(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(demo_solov2, "photographs", tuple)
    plan = demo_solov2.Plan(Schedule(2), batch=2, scenes=3)
    model = demo_solov2.train(plan, 0, tmp_path / "x.pth")
    kept = torch.load(tmp_path / "x.pth", weights_only=True)["model_state"]
    assert kept.keys() == SoloDemoRecipe().build().state_dict().keys() == model.state_dict().keys()
    assert all(torch.isfinite(value).all() for value in kept.values())
