import pytest

from segserve.repository.pbtxt import parse_config
from segserve.repository.version_policy import choose_versions


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", (10,)),
        ("version_policy {}", (10,)),
        ("version_policy { latest {} }", (10,)),
        ("version_policy { latest { num_versions: 2 } }", (3, 10)),
        ("version_policy { latest { num_versions: 9 } }", (1, 2, 3, 10)),
        ("version_policy { all {} }", (1, 2, 3, 10)),
        ("version_policy { specific { versions: [3, 1, 7] } }", (1, 3)),
        ("version_policy { specific { versions: 7 } }", ()),
    ],
)
def test_policies(policy, chosen):
    config = parse_config(policy, source="c")
    assert choose_versions(config.version_policy, [10, 1, 3, 2]) == chosen


def test_nothing_available():
    assert choose_versions(None, []) == ()
