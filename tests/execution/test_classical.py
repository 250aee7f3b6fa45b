"""The backend of segmenters without weights: tensors, bounds, budget."""

import numpy as np
import pytest

from segserve.core.errors import Cancelled, DeadlineExceeded, InvalidInput, LoadFailed
from segserve.core.tensor import DataType
from segserve.execution.classical import (
    ClassicalBackend,
    ClassicalOptions,
    inspect_classical,
    read_segmenter,
)

SEGMENTERS = (
    "kmeans",
    "gmm",
    "texton",
    "mean_shift",
    "normalized_cut",
    "graph_cut",
    "slic",
    "felzenszwalb",
    "random_walker",
    "chan_vese",
    "snake",
    "selective_search",
)


@pytest.fixture
def model_file(tmp_path):
    def write(text='{"segmenter": "kmeans"}'):
        path = tmp_path / "classical.json"
        path.write_text(text)
        return path

    return write


def image():
    pixels = np.zeros((1, 8, 9, 3), np.uint8)
    pixels[:, :, 3:] = 120
    pixels[:, :, 6:] = 250
    return pixels


def test_specs_name_every_option_as_an_optional_input(model_file) -> None:
    specs = inspect_classical(model_file())
    by_name = {spec.name: spec for spec in specs.inputs}
    assert by_name["image"].dims == (-1, -1, -1, 3)
    assert by_name["clusters"].dtype is DataType.INT32
    assert by_name["position_weight"].dtype is DataType.FP32
    assert [s.name for s in specs.inputs if not s.optional] == ["image"]
    assert [s.name for s in specs.outputs] == ["labels"]


def test_a_request_overrules_the_config_and_the_config_the_default(model_file) -> None:
    options = ClassicalOptions({"clusters": "2", "features": "intensity", "family": "x"}, 60)
    backend = ClassicalBackend(model_file(), options)
    assert backend.run({"image": image()}, wide=False)["labels"].max() == 1
    three = {"image": image(), "clusters": np.array([[3]], np.int32)}
    labels = backend.run(three, wide=True)["labels"]
    assert labels.shape == (1, 8, 9)
    assert labels[0, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    backend.settle(three)
    backend.close()


def test_values_out_of_bounds_are_the_callers_fault(model_file) -> None:
    backend = ClassicalBackend(model_file(), ClassicalOptions({}, 60))
    with pytest.raises(InvalidInput, match="from 1 to 64, got 99"):
        backend.run({"image": image(), "clusters": np.array([[99]], np.int32)}, wide=False)
    with pytest.raises(InvalidInput, match="one image"):
        backend.run({"image": np.concatenate([image(), image()])}, wide=False)


def test_the_budget_ends_the_work(model_file) -> None:
    backend = ClassicalBackend(model_file(), ClassicalOptions({}, 0))
    with pytest.raises(DeadlineExceeded, match="budget of 0 s on 9 x 8 pixels"):
        backend.run({"image": image()}, wide=False)


@pytest.mark.parametrize("text", ["", "[1]", '{"segmenter": "magic"}', "{}"])
def test_files_that_name_nothing_are_refused(model_file, text) -> None:
    with pytest.raises(LoadFailed):
        read_segmenter(model_file(text))


def test_a_default_out_of_bounds_fails_the_load(model_file) -> None:
    with pytest.raises(LoadFailed, match="clusters"):
        ClassicalBackend(model_file(), ClassicalOptions({"clusters": "0"}, 60))


def test_a_library_runs_in_a_process_of_its_own(model_file) -> None:
    pytest.importorskip("skimage", reason="needs the dev extra: make test")
    path = model_file('{"segmenter": "felzenszwalb"}')
    backend = ClassicalBackend(
        path, ClassicalOptions({"scale": "100", "sigma_px": "0"}, 60, "scikit-image")
    )
    assert not backend.reentrant
    try:
        smallest = np.array([[5]], np.int32)
        labels = backend.run({"image": image(), "min_size_px": smallest}, wide=False)["labels"]
        assert labels[0, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    finally:
        backend.close()


def test_a_library_is_opened_on_nobodys_budget(model_file) -> None:
    pytest.importorskip("skimage", reason="needs the dev extra: make test")
    path = model_file('{"segmenter": "felzenszwalb"}')
    noise = np.random.default_rng(0).integers(0, 256, (1, 2500, 2500, 3), np.uint8)
    backend = ClassicalBackend(path, ClassicalOptions({}, 0.5, "scikit-image"))
    try:
        for _ in range(2):  # the second time by a process that was started anew
            assert backend.run({"image": image()}, wide=False)["labels"].shape == (1, 8, 9)
            with pytest.raises(DeadlineExceeded):
                backend.run({"image": noise}, wide=False)
    finally:
        backend.close()


def test_the_callers_leaving_ends_the_work_between_two_rounds(model_file) -> None:
    backend = ClassicalBackend(model_file(), ClassicalOptions({}, 60))
    asked = []

    def leave() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        backend.run({"image": image()}, wide=False, stop=leave)
    assert len(asked) == 3
    assert backend.run({"image": image()}, wide=False, stop=lambda: False)["labels"].max() > 0


@pytest.mark.parametrize("name", SEGMENTERS)
def test_every_segmenter_of_our_own_can_be_stopped(model_file, name) -> None:
    backend = ClassicalBackend(model_file(f'{{"segmenter": "{name}"}}'), ClassicalOptions({}, 60))
    with pytest.raises(Cancelled):
        backend.run({"image": image()}, wide=False, stop=lambda: True)
