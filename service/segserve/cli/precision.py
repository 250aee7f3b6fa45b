"""``segserve export --precision``: a model in half precision or with 8 bits."""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from segserve.core.errors import InvalidInput, NotFound
from segserve.core.tensor import Tensors

PRECISIONS = ("fp16", "int8")
_SCENES = 48
_FIRST_SEED = 5_000_000
_SIZES_PX = ((375, 500), (500, 375), (480, 480))
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that this module reads."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="fp16 for accelerators, int8 (QDQ) for CPUs (default: float32)",
    )
    parser.add_argument(
        "--source",
        type=Path,
        metavar="MODEL_DIR",
        help="with --precision: convert this exported model, in the place of RECIPE and "
        "--checkpoint",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help=f"with --precision: pictures that calibrate and compare (default: {_SCENES} "
        "synthetic scenes)",
    )


def export_in_precision(options: argparse.Namespace, progress: Callable[[str], None]) -> str:
    """Export as float32 if there is no source, convert, and say how near it is.

    Raises
    ------
    ServiceError
        Whatever was wrong; nothing is written.
    """
    from segserve.export.precision import convert_model

    if options.format != "onnx":
        raise InvalidInput(f"--precision: got --format {options.format}, expected onnx")
    with tempfile.TemporaryDirectory(prefix="segserve-precision-") as folder:
        source = options.source or _exported(options, Path(folder), progress)
        progress("preparing pictures")
        samples = [_network_inputs(source, picture) for picture in _pictures(options.images)]
        progress(f"converting to {options.precision}")
        target = options.out / (options.name or f"{source.name}_{options.precision}")
        done = convert_model(
            source, target, options.precision, samples, overwrite=options.overwrite
        )
    found = done.comparison
    size, error = f"{done.graph_bytes / 1e6:.1f} MB", f"{found.rms_error_std:.1e} std off (rms)"
    if found.rows is None:
        kept = f"of float32's labels at least {found.label_agreement:.2%} are kept, {error}"
    else:
        kept = f"of {found.rows} detections at least {found.matched:.0%} of a picture's are near"
    return f"{done.path}: {size}; {kept}; segserve evaluate tells what that costs"


def _exported(
    options: argparse.Namespace, repository: Path, progress: Callable[[str], None]
) -> Path:
    from segserve.export.catalogue import find_recipe
    from segserve.export.run import Destination, export_checkpoint

    recipe = find_recipe(options.recipe)
    destination = Destination(repository, recipe.name)
    return export_checkpoint(recipe, options.checkpoint, destination, progress).path


def _pictures(folder: Path | None) -> Iterator[bytes]:
    """Give encoded pictures: those of the folder, or scenes that no evaluation draws."""
    if folder is not None:
        found = sorted(p for p in folder.glob("*") if p.suffix.lower() in _SUFFIXES)
        if not found:
            raise NotFound(f"--images: {folder} holds no {', '.join(_SUFFIXES)}")
        yield from (path.read_bytes() for path in found)
        return
    from PIL import Image

    from segserve.scenes import make_scene

    for index in range(_SCENES):
        buffer = io.BytesIO()
        scene = make_scene(_FIRST_SEED + index, *_SIZES_PX[index % len(_SIZES_PX)])
        Image.fromarray(scene.image).save(buffer, "PNG")
        yield buffer.getvalue()


def _network_inputs(source: Path, picture: bytes) -> Tensors:
    """Prepare a picture as the server does, with a batch axis of 1."""
    import numpy as np

    from segserve.core.messages import EncodedImage
    from segserve.core.options import DEFAULT_OPTIONS
    from segserve.export.precision import read_model
    from segserve.families.factory import build_family

    _, config = read_model(source)
    family = build_family(config.parameters, config.labels, config.inputs, config.served_outputs)
    if family is None:
        raise InvalidInput(f"{source}: its configuration names no family, so no picture fits it")
    image = EncodedImage(picture)
    plan = family.plan(image, DEFAULT_OPTIONS)
    inputs = {n: np.zeros((1, *shape), np.float32) for n, shape in plan.inputs_shapes.items()}
    family.preprocess(image, plan, {name: array[0] for name, array in inputs.items()})
    return inputs
