"""Counters whose names stay as they are."""

from segserve.observability.counters import TritonCounters, label_text


def test_the_text_of_labels_is_escaped():
    assert label_text([("a", 'b"c\\d\ne')]) == r'{a="b\"c\\d\ne"}'


def test_values_add_up_under_the_very_name():
    counters = TritonCounters({"nv_x": "What it counts"})
    counters.add("nv_x", '{model="m"}', 0.5)
    counters.add("nv_x", '{model="m"}', 1)
    assert counters.render() == (
        '# HELP nv_x What it counts\n# TYPE nv_x counter\nnv_x{model="m"} 1.5\n'
    )
