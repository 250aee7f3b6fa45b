import pytest

torch = pytest.importorskip("torch", reason="needs the export extra: make export-env")

from segserve.export.models.detectron2_resnet import Detectron2ResNet  # noqa: E402  after the skip
from segserve.export.models.resnet import ResNetStages  # noqa: E402  same


def test_stages() -> None:
    network = Detectron2ResNet((1, 2, 1, 1), 4)
    assert network.channels == [16, 32, 64, 128]
    shapes = [tuple(x.shape) for x in network(torch.zeros(2, 3, 64, 96))]
    assert shapes == [(2, 16, 16, 24), (2, 32, 8, 12), (2, 64, 4, 6), (2, 128, 2, 3)]


def test_names() -> None:
    names = set(Detectron2ResNet((1, 1, 1, 1), 4).state_dict())
    assert {"stem.conv1.norm.running_var", "res3.0.shortcut.norm.bias", "res5.0.conv3.weight"} <= (
        names
    )
    assert not any(name.endswith("num_batches_tracked") for name in names)


def test_the_same_function_as_the_resnet_with_its_stride_on_the_first_1x1() -> None:
    ours = Detectron2ResNet((1, 2, 1, 1), 4).eval()
    other = ResNetStages((1, 2, 1, 1), (False,) * 3, 4, stride_on_1x1=True).eval()
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, value in ours.state_dict().items():
        filled = torch.rand(value.shape, generator=generator) - 0.3
        state[name] = filled + 0.5 if name.endswith("running_var") else filled
    ours.load_state_dict(state)
    translated = {}
    for name, value in state.items():
        stage, rest = name.split(".", 1)
        key = rest if stage == "stem" else f"layer{int(stage[3:]) - 1}.{rest}"
        key = key.replace("shortcut.norm", "downsample.1").replace("shortcut", "downsample.0")
        for i in (1, 2, 3):
            key = key.replace(f"conv{i}.norm", f"bn{i}")
        translated[key] = value
    other.load_state_dict(translated, strict=False)
    image = torch.rand(1, 3, 64, 64, generator=generator)
    for got, expected in zip(ours(image), other.stages(image), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
