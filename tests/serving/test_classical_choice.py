"""From config to a segmenter without weights."""

import pytest

from segserve.core.errors import LoadFailed
from segserve.repository.pbtxt import parse_config
from segserve.serving.backend_choice import inspect_model, open_backends


def parse(text):
    return parse_config(text, source="config.pbtxt")


def parameter(key, value):
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }} '


CLASSICAL = 'backend: "classical" max_batch_size: {} default_model_filename: "classical.json" '


def test_a_segmenter_without_weights(tmp_path):
    path = tmp_path / "classical.json"
    path.write_text('{"segmenter": "slic"}')
    given = parse(CLASSICAL.format(1) + parameter("segments", 9))
    (backend,) = open_backends(given, path, 2)
    assert backend.specs == inspect_model(given, path)
    with pytest.raises(LoadFailed, match="max_batch_size is 4, expected 1"):
        open_backends(parse(CLASSICAL.format(4)), path, 2)
    with pytest.raises(LoadFailed, match="budget_ms"):
        open_backends(parse(CLASSICAL.format(1) + parameter("budget_ms", "soon")), path, 2)
