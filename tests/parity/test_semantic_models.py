"""torchvision's and detectron2's semantic models: eager network, ONNX graph and served answer."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from segserve.client import Client  # noqa: E402  after the skip
from segserve.core.messages import EncodedImage  # noqa: E402  same
from segserve.core.options import MaskFormat, SegmentOptions  # noqa: E402  same
from segserve.export.catalogue import find_recipe  # noqa: E402  same
from segserve.export.checkpoint import load_checkpoint, match_state_dict  # noqa: E402  same
from segserve.export.compare import MAX_ERROR_STD, RMS_ERROR_STD  # noqa: E402  same
from segserve.export.run import Destination, export_checkpoint  # noqa: E402  same
from segserve.families.factory import build_family  # noqa: E402  same

MIN_AGREEMENT = 0.999
NAMES = ["torchvision_deeplabv3_resnet50", "torchvision_fcn_resnet50"]
pytestmark = [pytest.mark.parity, pytest.mark.timeout(1800)]


class Case:
    """A golden, its checkpoint file, its recipe, and the picture as the server prepares it."""

    def __init__(self, chosen, folder):
        self.golden = chosen
        self.recipe = find_recipe(chosen.folder.name)
        meta = json.loads(bytes(chosen.recorded["meta"]))
        self.picture = chosen.folder.parent / meta["image"]
        self.checkpoint = folder / "official.pth"
        state = {key: torch.from_numpy(value) for key, value in chosen.weights().items()}
        torch.save(state, self.checkpoint)

    @property
    def inputs(self):
        config, image = self.recipe.config(), EncodedImage(self.picture.read_bytes())
        family = build_family(config.parameters, config.labels, config.inputs, config.outputs)
        plan = family.plan(image, SegmentOptions())
        out = {n: np.empty((1, *s), np.float32) for n, s in plan.inputs_shapes.items()}
        family.preprocess(image, plan, {n: row[0] for n, row in out.items()})
        return out

    def check(self, probe, got):
        largest, rms = self.golden.errors(probe, got)
        print(f"{self.recipe.name} {probe}: max {largest:.2e} std, rms {rms:.2e} std")
        assert largest <= MAX_ERROR_STD, probe
        assert rms <= RMS_ERROR_STD, probe


@pytest.fixture(scope="module", params=NAMES)
def case(request, golden, tmp_path_factory):
    return Case(golden(request.param), tmp_path_factory.mktemp("checkpoint"))


def test_eager(case) -> None:
    model = case.recipe.build()
    match_state_dict(model, load_checkpoint(case.checkpoint))
    inner = [p for p in case.golden.probes if p != "input" and not p.startswith("logits")]
    seen = {}
    hooks = [
        model.get_submodule(probe).register_forward_hook(
            lambda _m, _i, out, probe=probe: seen.__setitem__(probe, out.numpy().copy())
        )
        for probe in inner
    ]
    image = torch.from_numpy(case.inputs["image"])
    with torch.inference_mode():
        logits = {"logits.out": model(image)}
        logits["logits.aux"] = model.aux_classifier(torch.from_numpy(seen["backbone.layer3"]))
    for hook in hooks:
        hook.remove()
    for probe, got in seen.items():
        case.check(probe, got)
    for probe, got in logits.items():
        large = torch.nn.functional.interpolate(got, size=image.shape[2:], mode="bilinear")
        case.check(probe, large.numpy())


def test_served(case, serve, tmp_path) -> None:
    report = export_checkpoint(case.recipe, case.checkpoint, Destination(tmp_path / "models", "m"))
    print(report)
    server = serve("--model-repository", tmp_path / "models").wait_started()
    with Client(server.grpc) as client:
        raw = client.segment(case.picture, "m", SegmentOptions(mask_format=MaskFormat.RAW))
        plain = client.segment(case.picture, "m")
    agreement = float(np.mean(raw.label_map() == case.golden.labels))
    print(f"{case.recipe.name} served: {agreement:.5%}")
    assert agreement >= MIN_AGREEMENT
    assert np.array_equal(plain.label_map(), raw.label_map())
