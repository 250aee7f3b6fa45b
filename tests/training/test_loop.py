"""The schedule, and a loop that learns."""

from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.training import loop  # noqa: E402
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


@dataclass(frozen=True)
class Plan:
    schedule: Schedule


def test_a_plan_gets_the_steps_asked_for(monkeypatch):
    started, plan = [], Plan(Schedule(steps=3600, learning_rate=0.25))

    def program(recipe, names, steps, train):
        started.append((recipe, names, steps))
        train(7, 1, Path("checkpoint"))
        return 0

    monkeypatch.setattr(loop, "program", program)
    assert loop.plan_program("r", ["disc"], plan, lambda *asked: started.append(asked)) == 0
    shorter = Plan(Schedule(steps=7, learning_rate=0.25))
    assert started == [("r", ["disc"], 3600), (shorter, 1, Path("checkpoint"))]


def test_a_recipe_builds_what_is_asked_for():
    assert loop.built("deeplabv3plus_demo", torch.nn.Module).training
    with pytest.raises(TypeError, match=r"deeplabv3plus_demo builds a .*, not a Linear"):
        loop.built("deeplabv3plus_demo", torch.nn.Linear)
