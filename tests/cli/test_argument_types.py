"""Values of flags; `segserve segment` and `segserve evaluate` test them in their places."""

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from segserve.cli import argument_types as types


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (types.whole_number(0, 9), "0", 0),
        (types.whole_number(0, 2**64 - 1), "18446744073709551615", 2**64 - 1),
        (types.score, "1", 1.0),
        (types.seconds, "0.5", 0.5),
        (types.name, "m", "m"),
        (types.parameter, " a = b=c ", ("a", "b=c")),
        (types.parameter, "a=", ("a", "")),
        (types.labels, "3, sky,,", ("3", "sky")),
        (types.picture, "out", Path("out")),
    ],
)
def test_reads(read, text, value):
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (types.whole_number(1, 9), "0", "'0' is not a whole number from 1 to 9"),
        (types.whole_number(1, 9), "10", "from 1 to 9"),
        (types.whole_number(1, 9), "\u0663", "from 1 to 9"),
        (types.whole_number(1, 9), "1.0", "from 1 to 9"),
        (types.score, "-0.1", "'-0.1' is not in 0 to 1"),
        (types.score, "x", "'x' is not a number"),
        (types.seconds, "nan", "finite number of seconds above 0"),
        (types.name, "", "empty, expected a name"),
        (types.parameter, "a", "'a' is not NAME=VALUE"),
        (types.labels, " , ", "give label names or ids"),
        (types.labels, "2147483648", "from 0 to 2147483647"),
    ],
)
def test_says_what_was_expected(read, text, said):
    with pytest.raises(ArgumentTypeError, match=said):
        read(text)
