"""Small detectors that find something, and what every detector must keep."""

import numpy as np
import pytest


@pytest.fixture
def lively():
    """Give a small detector weights with which it finds things of several classes."""
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

    def enliven(make):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = make().eval()
        gains = {"cls_logits": 30, "objectness_logits": 30, "cls_score": 8, "bbox_pred": 2}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                layer = name.split(".")[-2]
                if name.endswith("weight") and layer in gains:
                    parameter.mul_(gains[layer])
        return model

    return enliven


@pytest.fixture
def pictures():
    """Give noise of several contents in an input of 96 x 128 pixels."""

    def make(batch: int = 2):
        image = np.random.default_rng(5).standard_normal((batch, 3, 96, 128)).astype(np.float32)
        sizes = np.array([[96 - 3 * i, 128 - 5 * i] for i in range(batch)], np.float32)
        for picture, (height, width) in zip(image, sizes.astype(int), strict=True):
            picture[:, height:], picture[:, :, width:] = 0, 0
        return {"image": image, "image_size": sizes}

    return make


@pytest.fixture
def check_columns():
    """Check what every detector's rows promise; gives how many are valid."""

    def check(columns, sizes, mask_cells: int) -> int:
        boxes, scores, labels, valid, masks = columns[:5]
        count = len(sizes)
        assert (valid.shape, valid.dtype) == ((count,), np.int64)
        is_row = np.arange(100) < valid[:, None]
        assert boxes.shape == (count, 100, 4)
        assert masks.shape == (count, 100, mask_cells, mask_cells)
        assert (np.diff(scores, axis=1) <= 0).all()
        assert ((labels >= 0) == is_row).all()
        assert (scores[is_row] > 0.05).all()
        for padding in (boxes, scores, masks):
            assert not padding[~is_row].any()
        limits = np.repeat(sizes[:, None, ::-1], 100, axis=1)
        assert (boxes[..., :2] >= 0).all()
        assert (boxes[..., 2:] <= limits + 1e-3).all()
        return int(valid.sum())

    return check


@pytest.fixture
def check_graph(pictures):
    """Export a detector; batches of 1, 2 and 5, and no detections at all, equal eager runs."""
    pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")
    from segserve.export.compare import compare_outputs, run_eager_outputs, run_graph_outputs
    from segserve.export.to_onnx import to_onnx

    def check(model, recipe) -> None:
        graph = to_onnx(model, recipe)
        five = pictures(5)
        for batch in (1, 2, 5):
            fed = {name: x[:batch] for name, x in five.items()}
            got = run_graph_outputs(graph, fed)
            expected = dict(zip(got, run_eager_outputs(model, fed), strict=True))
            assert expected["valid"].sum() > batch
            compared = compare_outputs(got, expected)
            assert compared.matched == 1, (batch, compared)
            assert compared.is_close, (batch, compared)
        single = [
            run_graph_outputs(graph, {name: x[i : i + 1] for name, x in five.items()})
            for i in range(5)
        ]
        for name, array in got.items():
            together = np.concatenate([outputs[name] for outputs in single])
            np.testing.assert_allclose(array, together, atol=1e-4, err_msg=name)
        fed = pictures(2)
        nothing = run_graph_outputs(graph, {**fed, "image_size": fed["image_size"] * 0})
        assert not nothing["valid"].any(), "a picture of no size has no proposals"
        assert not nothing["masks"].any()

    return check


@pytest.fixture
def check_torchscript(pictures):
    """Record a detector on its recipe's samples; other sizes and batches equal eager runs."""
    from segserve.export.to_torchscript import compare_torchscript, run_torchscript, to_torchscript

    def check(model, recipe) -> None:
        program = to_torchscript(model, recipe)
        assert b"ops.segserve" not in program, "a bare torch loads it"
        for batch in (1, 2, 5):
            fed = pictures(batch)
            assert run_torchscript(program, fed)[3].sum() > batch
            compared = compare_torchscript(model, program, recipe, fed)
            assert compared.matched == 1, (batch, compared)
            assert compared.is_close, (batch, compared)
        fed["image_size"] *= 0
        assert not run_torchscript(program, fed)[3].any()

    return check


@pytest.fixture
def check_rows():
    """Export a network of fixed rows; runs of 1, 2 and 5 images equal eager runs and lone ones."""
    torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
    pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")
    from copy import deepcopy
    from dataclasses import dataclass, replace

    from segserve.export.compare import compare_outputs, run_eager_outputs, run_graph_outputs
    from segserve.export.recipe import ExportConfig
    from segserve.export.to_onnx import to_onnx

    @dataclass(frozen=True)
    class Small:
        """The recipe's tensors by name, around a smaller network."""

        name: str
        tensors: ExportConfig
        samples: dict[str, np.ndarray]

        def sample_inputs(self):
            return self.samples

        def config(self):
            return self.tensors

    def check(network, categories: str, recipe, **more) -> None:
        network = deepcopy(network)
        image = np.random.default_rng(0).standard_normal((5, 3, 96, 64)).astype(np.float32)
        image[2] = 0
        five = {"image": image, **more}
        last = network.get_submodule(categories)
        with torch.no_grad():
            # A blank picture stays blank, and nothing in it is anything.
            for name, parameter in network.neck.named_parameters():
                parameter.mul_(not name.endswith("bias"))
            # Nor does any score come close to one, where the float32 of neighbours, of which only
            # the best stays, are equal in one runtime and not in the other.
            last.bias.fill_(-6)
            last.weight.mul_(10)
        with torch.random.fork_rng():
            samples = {name: x[:2] for name, x in five.items()}
            # Free sides, which take the exporter longest, are the full-size parity tests' part.
            fixed = tuple(
                replace(spec, dims=samples[spec.name].shape[1:]) for spec in recipe.config().inputs
            )
            tensors = replace(recipe.config(), inputs=fixed)
            graph = to_onnx(network, Small(recipe.name, tensors, samples))
        lone = [
            run_graph_outputs(graph, {name: x[i : i + 1] for name, x in five.items()})
            for i in range(5)
        ]
        counts = [int(outputs["valid"].sum()) for outputs in lone]
        assert counts[2] == 0, "one image holds nothing"
        assert sum(counts) > 10
        for batch in (1, 2, 5):
            fed = {name: x[:batch] for name, x in five.items()}
            got = run_graph_outputs(graph, fed)
            eager = compare_outputs(
                got, dict(zip(got, run_eager_outputs(network, fed), strict=True))
            )
            assert (eager.matched, eager.is_close) == (1, True), (batch, eager)
            for name, column in got.items():
                together = np.concatenate([outputs[name] for outputs in lone[:batch]])
                np.testing.assert_allclose(column, together, atol=1e-3, err_msg=name)
            assert (got["valid"].shape, got["valid"].dtype) == ((batch,), np.int64)
            is_row = np.arange(got["scores"].shape[1]) < got["valid"][:, None]
            for name in set(got) - {"valid"}:
                padding = got[name][~is_row]
                assert (padding == (-1 if name == "labels" else 0)).all(), name
        empty = {name: np.concatenate([x[2:3]] * 2) for name, x in five.items()}
        assert not run_graph_outputs(graph, empty)["valid"].any()

    return check
