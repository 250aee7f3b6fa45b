"""Reading JSON that anybody may have written."""

import pytest

from segserve.core.errors import InvalidInput
from segserve.transport.http.json_fields import fields_of, json_object


def test_json():
    assert json_object(b' {"a": 1} ') == {"a": 1}
    assert json_object(b" \n") == {}
    for bad in (b"{", b"\xff\xfe", b"[" * 200_000):
        with pytest.raises(InvalidInput, match="failed to parse the request JSON buffer"):
            json_object(bad)


def test_fields():
    given = {"t": "x", "n": None, "i": [1, -2], "o": [{"a": 1}], "parameters": {"p": 1, "q": None}}
    fields = fields_of(given, "it")
    assert fields.text("t") == "x"
    assert fields.text("n", "y") == fields.text("other", "y") == "y"
    assert fields.absent("n")
    assert fields.integers("i") == [1, -2]
    assert fields.objects("o")[0].values == {"a": 1}
    assert fields.parameters() == {"p": 1}
    assert fields_of({}, "it").parameters() == {}


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda f: f.text("no"), "it has no 'no'"),
        (lambda f: f.text("i"), "'i' of it must be a string, got int"),
        (lambda f: f.integers("i"), "'i' of it must be a list of integers"),
        (lambda f: f.integers("huge"), "a list of integers"),
        (lambda f: f.objects("i"), "'i' of it must be a list of objects"),
        (lambda f: f.objects("huge"), "entry 0 of 'huge' must be a JSON object"),
        (lambda f: f.parameters(), "'p' of 'parameters' of it must be a bool"),
        (lambda f: fields_of([], "that"), "that must be a JSON object, got list"),
    ],
)
def test_texts(read, text):
    fields = fields_of({"i": 5, "huge": [2**63], "parameters": {"p": [1]}}, "it")
    with pytest.raises(InvalidInput, match=text):
        read(fields)
