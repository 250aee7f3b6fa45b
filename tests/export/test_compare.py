import numpy as np
import pytest

torch = pytest.importorskip("torch")

from segserve.core.errors import BackendFailed  # noqa: E402  after the skip
from segserve.export.compare import (  # noqa: E402  same
    Comparison,
    compare_arrays,
    noise_like,
    run_eager,
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
    samples = {"x": np.zeros((2, 3), np.float32)}
    noise = noise_like(samples)["x"]
    assert (noise.shape, noise.dtype) == ((2, 3), np.float32)
    assert np.array_equal(noise, noise_like(samples)["x"])
    assert not np.array_equal(noise, noise_like(samples, seed=1)["x"])


def test_the_network_runs_in_evaluation_mode() -> None:
    dropout = torch.nn.Dropout(0.9).train()
    ones = np.ones((4, 4), np.float32)
    assert np.array_equal(run_eager(dropout, {"x": ones}).numpy(), ones)
