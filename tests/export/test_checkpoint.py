import collections
import json
import pickle
import struct

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import InvalidInput, NotFound  # noqa: E402  after the skip
from segserve.export.checkpoint import load_checkpoint, match_state_dict  # noqa: E402  same

WEIGHTS = {"conv.weight": torch.arange(4.0).reshape(2, 2), "conv.bias": torch.ones(2)}


def saved(tmp_path, tree):
    torch.save(tree, tmp_path / "x.pth")
    return load_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize(
    "tree",
    [
        WEIGHTS,
        {"model_state": WEIGHTS, "epoch": 3},
        {"state_dict": WEIGHTS},
        {"model": WEIGHTS},
        {"model": {"state_dict": WEIGHTS}},
        {"state_dict": collections.OrderedDict((f"module.{k}", v) for k, v in WEIGHTS.items())},
    ],
    ids=["bare", "model_state", "state_dict", "model", "nested", "module."],
)
def test_wrappers(tmp_path, tree) -> None:
    got = saved(tmp_path, tree)
    assert list(got) == list(WEIGHTS)
    assert all(torch.equal(got[k], WEIGHTS[k]) for k in WEIGHTS)


def test_module_stays_when_it_is_part_of_some_names_only(tmp_path) -> None:
    tree = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert set(saved(tmp_path, tree)) == {"module.a", "b"}


def test_an_official_training_file(tmp_path) -> None:
    """Optimizer and scheduler state, numpy scalars, a default dictionary."""
    model = torch.nn.Conv2d(3, 4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3, 2, 2)).sum().backward()
    optimizer.step()
    tree = {
        "cur_itrs": 30000,
        "model_state": model.state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "scheduler_state": {"base_lrs": [0.01], "last_epoch": np.int64(7)},
        "best_score": np.float64(0.7),
        "class_iou": collections.defaultdict(float, {0: np.float32(0.9)}),
    }
    got = saved(tmp_path, tree)
    assert torch.equal(got["weight"], model.weight.detach())


def test_arrays_in_a_pickle(tmp_path) -> None:
    tree = {"model": {"w": np.float32([[1, 2]])}, "__author__": "somebody"}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(tree, 2))
    assert load_checkpoint(tmp_path / "x.pkl")["w"].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("name", ["x.safetensors", "x.bin", "x.pth"])
def test_safetensors(tmp_path, name) -> None:
    header = {"module.w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + struct.pack("<f", 2.5)
    (tmp_path / name).write_bytes(data)
    assert load_checkpoint(tmp_path / name)["w"].tolist() == [2.5]


def test_a_missing_file(tmp_path) -> None:
    with pytest.raises(NotFound, match=r"no checkpoint .*x\.pth"):
        load_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"net": {"a": torch.ones(1)}, "epoch": 3}, "no weights.*net, epoch"),
        ([torch.ones(1)], "got a list"),
        ({"model": {}}, "no weights"),
        ({"model": {1: torch.ones(1)}}, "no weights"),
        ({"state_dict": {"a": torch.ones(1), "b": 3}}, "'b' is a int"),
    ],
)
def test_no_weights(tmp_path, tree, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        saved(tmp_path, tree)


def test_the_error_names_file_and_class(tmp_path) -> None:
    with pytest.raises(InvalidInput, match=r"x\.pth: .*torch\.nn\.modules\.linear\.Linear"):
        saved(tmp_path, {"model": torch.nn.Linear(1, 1)})


def test_match_fills_and_converts() -> None:
    model = torch.nn.Linear(2, 2)
    match_state_dict(model, {"weight": torch.eye(2).half(), "bias": torch.zeros(2)})
    assert torch.equal(model.weight.detach(), torch.eye(2))


def test_a_lone_number_may_come_as_a_list_of_one() -> None:
    model = torch.nn.BatchNorm1d(1)
    state = model.state_dict() | {"num_batches_tracked": torch.tensor([3])}
    match_state_dict(model, state)
    assert model.num_batches_tracked.item() == 3


def test_match_lists_everything_and_changes_nothing() -> None:
    model = torch.nn.BatchNorm1d(2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = {
        "weight": torch.zeros(3),
        "bias": torch.zeros(2, dtype=torch.int64),
        "running_mean": torch.zeros(2),
        "running_var": torch.zeros(2),
        "extra": torch.zeros(1),
    }
    with pytest.raises(InvalidInput) as caught:
        match_state_dict(model, state)
    assert "4 names differ (1 missing, 1 shape, 1 dtype, 1 unexpected)" in caught.value.message
    assert [line.strip() for line in caught.value.message.splitlines()[1:]] == [
        "missing: num_batches_tracked []",
        "shape: weight: got [3], expected [2]",
        "dtype: bias: got torch.int64, expected torch.float32",
        "unexpected: extra [1]",
    ]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_match_lists_twenty_of_each_kind() -> None:
    state = {f"w{i}": torch.zeros(1) for i in range(30)}
    network = torch.nn.Sequential(*(torch.nn.Linear(1, 1, bias=False) for _ in range(25)))
    with pytest.raises(InvalidInput) as caught:
        match_state_dict(network, state)
    lines = [line.strip() for line in caught.value.message.splitlines()]
    assert "55 names differ (25 missing, 30 unexpected)" in lines[0]
    assert lines[1:21] == [f"missing: {i}.weight [1, 1]" for i in range(20)]
    assert lines[21] == "and 5 more missing"
    assert lines[22:42] == [f"unexpected: w{i} [1]" for i in range(20)]
    assert lines[42:] == ["and 10 more unexpected"]
