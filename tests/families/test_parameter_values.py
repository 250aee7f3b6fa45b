"""The small languages of config parameters."""

import pytest

from segserve.core.errors import LoadFailed
from segserve.families import parameter_values as values


@pytest.mark.parametrize(
    ("parse", "text", "want"),
    [
        (values.number, "1/255", 1 / 255),
        (values.number, "0.5", 0.5),
        (values.number, "0", None),
        (values.number, "1/0", None),
        (values.number, "nan", None),
        (values.number, "one", None),
        (values.three_floats, "1, 2.5,-3", (1.0, 2.5, -3.0)),
        (values.three_floats, "1,2", None),
        (values.three_floats, "1,2,inf", None),
        (values.size, "240x320", (240, 320)),
        (values.size, "240", None),
        (values.size, "0x320", None),
        (values.size, "99999x1", None),
        (values.sizes, "240x320, 320x240", ((240, 320), (320, 240))),
        (values.sizes, "240x320,", None),
        (values.whole, "64", 64),
        (values.whole, "0", None),
        (values.whole, "9" * 5000, None),
        (values.whole, "-1", None),
        (values.whole, "\u00b2", None),
        (values.ids, "0, 255", (0, 255)),
        (values.ids, "0,a", None),
        (values.colours, "000000,#ff8800", ((0, 0, 0), (255, 136, 0))),
        (values.colours, "red", None),
    ],
)
def test_parsers(parse, text: str, want: object) -> None:
    assert parse(text) == want


def test_reader_gives_defaults_and_names_what_is_wrong() -> None:
    reader = values.ParameterReader({"side": "x", "blank": " ", "mode": "exat"})
    assert reader.read("absent", values.whole, "a number", 7) == 7
    assert reader.read("blank", values.whole, "a number", 7) == 7
    with pytest.raises(LoadFailed, match="'side': got 'x', expected a number"):
        reader.read("side", values.whole, "a number", 7)
    with pytest.raises(LoadFailed, match=r"exact \| pad: did you mean 'exact'"):
        reader.choice("mode", ("exact", "pad"), "exact")
