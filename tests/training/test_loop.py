"""The schedule, and a loop that learns."""

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.training.loop import Schedule, learning_rate, run  # noqa: E402


def test_the_learning_rate_warms_up_and_falls_to_zero():
    schedule = Schedule(200)
    rates = [learning_rate(schedule, step) for step in range(200)]
    assert rates[0] < rates[5] == max(rates)
    assert max(rates) == pytest.approx(schedule.learning_rate, rel=1e-2)
    assert rates[-1] < 0.001 * max(rates)


def test_the_averaged_weights_are_kept(tmp_path, capsys):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    x = torch.randn(64, 2)
    y = x @ torch.tensor([[2.0], [-1.0]])
    schedule = Schedule(400, learning_rate=0.1, weight_decay=0, average_decay=0.9)
    kept = run(model, schedule, lambda _: ((model(x) - y) ** 2).mean(), tmp_path / "x.pth")
    assert kept.weight.detach().flatten().tolist() == pytest.approx([2, -1], abs=0.01)
    loaded = torch.load(tmp_path / "x.pth", weights_only=True)["model_state"]
    assert torch.equal(loaded["weight"], kept.weight)
    assert "step 399 loss 0.0000" in capsys.readouterr().out
