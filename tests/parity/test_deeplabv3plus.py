"""DeepLabV3+ against VainF/DeepLabV3Plus-Pytorch: eager network, ONNX graph, label map."""

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")
pytest.importorskip("onnxscript", reason="needs the export extra: make export-env")

from segserve.export.catalogue import find_recipe  # noqa: E402  after the skip
from segserve.export.checkpoint import load_checkpoint, match_state_dict  # noqa: E402  same
from segserve.export.compare import MAX_ERROR_STD, RMS_ERROR_STD, run_graph  # noqa: E402  same
from segserve.export.to_onnx import to_onnx  # noqa: E402  same

MIN_AGREEMENT = 0.999
# The smallest is the sample of the default run; its first forward pass takes a second.
SAMPLE = "vainf_deeplabv3plus_mobilenet_os16"
NAMES = [
    SAMPLE,
    *(
        pytest.param(name, marks=[pytest.mark.parity, pytest.mark.timeout(600)])
        for name in (
            "vainf_deeplabv3plus_resnet50_os16",
            "vainf_deeplabv3plus_resnet50_os16_smooth",
            "vainf_deeplabv3plus_resnet101_os16",
        )
    ),
]


def normalised(image, parameters):
    """Follow the recipe's own words: scale, mean, std, in float32."""
    assert parameters["scale"] == "1/255"
    mean, std = (np.float32(parameters[key].split(",")) for key in ("mean", "std"))
    x = (image.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def labels_of(logits, size):
    """Enlarge as the original does and take the largest; gives scores and labels."""
    scores = torch.nn.functional.interpolate(
        torch.from_numpy(logits), size=size, mode="bilinear", align_corners=False
    ).numpy()
    return scores, scores.argmax(axis=1)[0]


@pytest.fixture(scope="module", params=NAMES)
def case(request, golden, tmp_path_factory):
    """A golden, its recipe, and the network filled through a checkpoint file."""
    chosen = golden(request.param)
    recipe = find_recipe(request.param.removesuffix("_smooth"))
    path = tmp_path_factory.mktemp("checkpoint") / "official.pth"
    weights = {key: torch.from_numpy(value) for key, value in chosen.weights().items()}
    torch.save({"cur_itrs": 1, "model_state": weights, "best_score": np.float64(0.5)}, path)
    model = recipe.build()
    match_state_dict(model, load_checkpoint(path))
    return chosen, recipe, model, normalised(chosen.image, recipe.config().parameters)


def check(chosen, probe: str, got) -> None:
    largest, rms = chosen.errors(probe, got)
    print(f"{chosen.folder.name} {probe}: max {largest:.2e} std, rms {rms:.2e} std")
    assert largest <= MAX_ERROR_STD, probe
    assert rms <= RMS_ERROR_STD, probe


def check_labels(chosen, labels) -> None:
    agreement = float(np.mean(labels == chosen.labels))
    print(f"{chosen.folder.name} labels: {agreement:.5%}")
    assert agreement >= MIN_AGREEMENT


def test_eager(case) -> None:
    chosen, _, model, image = case
    outputs = {"input": image}
    inner = [p for p in chosen.probes if p not in ("input", "logits")]
    hooks = [
        model.get_submodule(probe).register_forward_hook(
            lambda _m, _i, out, probe=probe: outputs.__setitem__(probe, out.numpy().copy())
        )
        for probe in inner
    ]
    with torch.inference_mode():
        stride4 = model(torch.from_numpy(image)).numpy()
    for hook in hooks:
        hook.remove()
    outputs["logits"], labels = labels_of(stride4, chosen.image.shape[:2])
    assert set(outputs) == set(chosen.probes)
    for probe, got in outputs.items():
        check(chosen, probe, got)
    check_labels(chosen, labels)


@pytest.mark.parity
def test_what_a_shape_policy_costs(case) -> None:
    """Prints the table of docs/models.md."""
    chosen, recipe, model, image = case
    height, width = chosen.image.shape[:2]
    kept = {}
    for size in ((384, 512), (512, 512)):
        padded = np.zeros((1, 3, *size), np.float32)
        padded[:, :, :height, :width] = image
        resized = Image.fromarray(chosen.image).resize(size[::-1], Image.Resampling.BILINEAR)
        inputs = {
            "pad": (padded, size),
            "resize": (normalised(np.asarray(resized), recipe.config().parameters), (375, 500)),
        }
        for policy, (x, target) in inputs.items():
            with torch.inference_mode():
                _, labels = labels_of(model(torch.from_numpy(x)).numpy(), target)
            kept[policy, size] = float(np.mean(labels[:height, :width] == chosen.labels))
            print(f"{chosen.folder.name} {policy} {size}: {kept[policy, size]:.1%}")
    assert max(kept.values()) < MIN_AGREEMENT, "then `exact` would be needless"


@pytest.mark.parity  # test_served.py is the sample of the default run
@pytest.mark.timeout(600)
def test_onnx(case) -> None:
    chosen, recipe, model, image = case
    stride4 = run_graph(to_onnx(model, recipe), {"image": image})
    check(chosen, "classifier.classifier", stride4)
    scores, labels = labels_of(stride4, chosen.image.shape[:2])
    check(chosen, "logits", scores)
    check_labels(chosen, labels)
