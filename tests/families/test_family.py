"""What crosses the border of a family, and that both kinds are families."""

import dataclasses
import json

import pytest

from segserve.families.family import Family, Findings, Plan


@pytest.mark.parametrize("kind", ["semantic", "instance"])
def test_every_kind_is_a_family(kind: str, request) -> None:
    family: Family = request.getfixturevalue(kind)(warm_sizes="64x96")
    assert family.image_input == "image"
    assert family.warm_shapes == ((64, 96),)
    told = json.loads(json.dumps(dict(family.describe())))
    assert told["kind"] == kind
    assert "mask_format" in told["options"]


def test_borders_are_frozen() -> None:
    plan = Plan(2, 1, {"image": (3, 1, 2)}, (1, 2), 6, 0.0, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.decoded_bytes = 7
    assert Findings() == Findings(None, None, None)
