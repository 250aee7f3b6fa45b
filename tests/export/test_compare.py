import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.core.errors import BackendFailed  # noqa: E402  after the skip
from segserve.export.compare import (  # noqa: E402  same
    Comparison,
    compare,
    compare_arrays,
    compare_outputs,
    noise_like,
    partners,
    run_eager,
    run_eager_outputs,
    run_graph_outputs,
)


def test_errors_are_in_standard_deviations_of_the_reference() -> None:
    expected = np.array([[[0.0, 4.0], [4.0, 0.0]]])  # std 2
    got = expected + np.array([[[1.0, 0.0], [0.0, 0.0]]])
    assert compare_arrays(got, expected) == Comparison(0.5, 0.25, 1.0)


def test_agreement_counts_positions() -> None:
    expected = np.array([[[0.0, 4.0, 1.0, 1.0], [4.0, 0.0, 2.0, 2.0]]])
    got = expected.copy()
    got[0, :, 0] = got[0, ::-1, 0]
    assert compare_arrays(got, expected).label_agreement == 0.75


def test_another_shape_is_an_error() -> None:
    with pytest.raises(BackendFailed, match=r"\(1, 2, 3\), the network \(1, 2, 4\)"):
        compare_arrays(np.zeros((1, 2, 3)), np.zeros((1, 2, 4)))


@pytest.mark.parametrize(
    ("largest", "rms", "close"), [(1e-2, 1e-3, True), (1.1e-2, 1e-4, False), (5e-3, 2e-3, False)]
)
def test_what_is_close(largest: float, rms: float, close: bool) -> None:
    assert Comparison(largest, rms, 1.0).is_close is close


def test_a_constant_reference_divides_by_no_zero() -> None:
    ones = np.ones((1, 2, 2))
    assert compare_arrays(ones, ones).is_close


def test_noise_is_seeded_and_of_the_same_kind() -> None:
    samples = {"x": np.zeros((2, 3, 4, 5), np.float32)}
    noise = noise_like(samples)["x"]
    assert (noise.shape, noise.dtype) == ((2, 3, 4, 5), np.float32)
    assert np.array_equal(noise, noise_like(samples)["x"])
    assert not np.array_equal(noise, noise_like(samples, seed=1)["x"])


def test_what_is_no_picture_stays() -> None:
    sizes = np.array([[97.0, 130.0]], np.float32)
    assert np.array_equal(noise_like({"image_size": sizes})["image_size"], sizes)


def test_the_network_runs_in_evaluation_mode() -> None:
    dropout = torch.nn.Dropout(0.9).train()
    ones = np.ones((4, 4), np.float32)
    assert np.array_equal(run_eager(dropout, {"x": ones}).numpy(), ones)


def detections(count: int = 4):
    generator = np.random.default_rng(0)
    valid = np.array([count, 2])
    scores = np.sort(generator.random((2, count)).astype(np.float32))[:, ::-1].copy()
    columns = {
        "boxes": generator.random((2, count, 4)).astype(np.float32),
        "scores": scores,
        "labels": np.tile(np.arange(count), (2, 1)),
        "valid": valid,
        "prototypes": generator.random((2, 3, 8, 8)).astype(np.float32),
    }
    columns["labels"][1, 2:] = -1
    return columns


def swapped(columns):
    """The same detections, two of the first image in each other's place."""
    other = {name: array.copy() for name, array in columns.items()}
    for name in ("boxes", "labels"):
        other[name][0, :2] = columns[name][0, 1::-1]
    other["scores"][:] = columns["scores"]
    return other


def test_detections_are_matched_wherever_they_are() -> None:
    expected = detections()
    expected["scores"][0, :2] = [0.9, 0.8999]
    compared = compare_outputs(swapped(expected), expected)
    assert compared.matched == 1
    assert compared.is_close
    ours, theirs = partners(swapped(expected), expected, 0)
    assert (ours.tolist(), theirs.tolist()) == ([1, 0, 2, 3], [0, 1, 2, 3])


def test_of_two_that_fit_the_nearer_is_the_partner() -> None:
    expected = detections()
    expected["scores"][0, :2], expected["labels"][0, :2] = 0.9, 7
    ours, _ = partners(swapped(expected), expected, 0)
    assert ours.tolist()[:2] == [1, 0]


@pytest.mark.parametrize(("name", "by"), [("labels", 1), ("scores", 0.01)])
def test_a_detection_without_partner_counts(name: str, by: float) -> None:
    expected, got = detections(), detections()
    got[name][0, 0] += by
    compared = compare_outputs(got, expected)
    assert compared.matched == 5 / 6
    assert not compared.is_close


def test_a_detection_too_many_counts() -> None:
    expected, got = detections(), detections()
    got["valid"][1] = 3
    assert compare_outputs(got, expected).matched == 6 / 7


def test_a_row_whose_box_is_off_has_no_partner() -> None:
    expected, got = detections(), detections()
    got["boxes"][0, 1] += 0.1
    got["boxes"][0, 2] += 1e-3
    compared = compare_outputs(got, expected)
    assert compared.matched == 5 / 6
    assert 1e-4 < compared.row_error < 1e-2


def test_a_map_that_is_off() -> None:
    expected, got = detections(), detections()
    got["prototypes"][0] += 0.1
    compared = compare_outputs(got, expected)
    assert compared.matched == 1
    assert compared.max_error_std > 0.1


def test_the_summary_says_what_was_compared() -> None:
    expected, got = detections(), detections()
    assert compare_outputs(got, expected).summary == (
        "gives 100.0% of 6 detections as the eager network, their columns within 0.0e+00 of their "
        "size"
    )
    got["scores"][0, 0] += 0.01
    got["prototypes"][0] += 0.1
    said = compare_outputs(got, expected).summary
    assert "gives 83.3% of 6 detections" in said
    assert re.search(r"; the rest within 3\.\de-01 std$", said)
    for side in (got, expected):
        side["valid"][:] = 0
    assert "no detections were compared" in compare_outputs(got, expected).summary
    maps = {"logits": expected["prototypes"]}
    assert compare_outputs(maps, maps).summary == "is within 0.0e+00 std of the eager network"
    far = Comparison(max_error_std=0.43, rms_error_std=0.01, label_agreement=0.9941)
    assert far.summary == (
        "gives 99.41% of the labels as the eager network, its logits up to 4.3e-01 std apart; "
        "--format torchscript gives its own bits"
    )


def test_one_detection_alone_is_compared() -> None:
    expected, got = detections(), detections()
    for side in (expected, got):
        side["valid"][:] = [1, 0]
    got["scores"][0, 0] += 1e-5
    assert compare_outputs(got, expected).is_close


def test_no_detections_are_equal() -> None:
    nothing = detections()
    nothing["valid"][:] = 0
    assert compare_outputs(nothing, nothing).is_close


def test_other_outputs_are_an_error() -> None:
    got = detections()
    del got["prototypes"]
    with pytest.raises(BackendFailed, match="the graph gives"):
        compare_outputs(got, detections())


@pytest.mark.parametrize("valid", [np.ones((2, 4), bool), np.ones((2, 1), int), np.ones(2, bool)])
def test_a_count_of_another_form_is_an_error(valid) -> None:
    columns = {**detections(), "valid": valid}
    with pytest.raises(
        BackendFailed, match=r"'valid' must be INT64 \[2\].* got .*export the model"
    ):
        compare_outputs(columns, columns)


def test_without_a_count_labels_say_which_rows_are_padding() -> None:
    columns = detections()
    del columns["valid"]
    assert compare_outputs(columns, columns).rows == 6


def test_all_outputs_by_name() -> None:
    pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")
    import onnx

    make = onnx.helper.make_tensor_value_info
    kinds = [make(name, onnx.TensorProto.FLOAT, ["b", 2]) for name in ("x", "negative", "twice")]
    nodes = [
        onnx.helper.make_node("Neg", ["x"], ["negative"]),
        onnx.helper.make_node("Add", ["x", "x"], ["twice"]),
    ]
    graph = onnx.helper.make_graph(nodes, "two", kinds[:1], kinds[1:])
    opset = onnx.helper.make_opsetid("", 18)
    data = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()

    class Two(torch.nn.Module):
        def forward(self, x):
            return -x, x * 2.5

    fed = {"x": np.array([[1.0, 2.0]], np.float32)}
    assert {n: a.tolist() for n, a in run_graph_outputs(data, fed).items()} == {
        "negative": [[-1, -2]],
        "twice": [[2, 4]],
    }
    assert run_eager_outputs(Two(), fed)[1].tolist() == [[2.5, 5]]
    assert compare(Two(), data, fed).max_error_std == pytest.approx(0.8)
