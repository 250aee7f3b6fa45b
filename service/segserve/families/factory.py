"""From a model's config parameters to its family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from segserve.core.errors import InvalidInput, LoadFailed
from segserve.core.tensor import DataType, TensorSpec
from segserve.families.box_masks import BoxMasks, Paste
from segserve.families.contour_masks import ContourMasks
from segserve.families.family import Family
from segserve.families.full_masks import FullMasks
from segserve.families.image_half import ImageHalf
from segserve.families.input_rule import check_keys, parse_input_rule, parse_palette
from segserve.families.instance import COLUMNS, VALID, InstanceFamily, InstanceRule
from segserve.families.mask_rule import MaskRule
from segserve.families.panoptic import PanopticFamily, PanopticRule
from segserve.families.parameter_values import ParameterReader, nearest, number, refuse, whole
from segserve.families.prototype_masks import PrototypeMasks
from segserve.families.refinement import Refinement, parse_refinement
from segserve.families.semantic import OutputGrid, SemanticFamily, SemanticRule
from segserve.families.suppression import parse_suppression
from segserve.ops.image_header import DEFAULT_MAX_PIXELS

_CLASSICAL = "classical"
_LOGITS_RANK = 3
_MIN_CLASSES = 2


@dataclass(frozen=True)
class _Parts:
    """All that a family is built from."""

    parameters: Mapping[str, str]
    labels: tuple[str, ...]
    outputs: tuple[TensorSpec, ...]
    images: ImageHalf


def build_family(
    parameters: Mapping[str, str],
    labels: tuple[str, ...],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    *,
    max_image_pixels: int = DEFAULT_MAX_PIXELS,
) -> Family | None:
    """Build the family that a config names, or None when it names none.

    Parameters
    ----------
    parameters : Mapping of str to str
        The config's `parameters`; docs/configuration.md lists the keys.
    labels : tuple of str
        Line n of labels.txt; may be empty.
    inputs, outputs : tuple of TensorSpec
        Without the batch axis.
    max_image_pixels : int
        Larger images are refused before they are decoded.

    Raises
    ------
    LoadFailed
        Naming the parameter or tensor, got, expected, and the nearest right word.
    """
    name = parameters.get("family", "").strip()
    if not name:
        return None
    check_keys(parameters)
    if name == _CLASSICAL:
        from segserve.families.classical import build_classical  # noqa: PLC0415  many modules

        palette = parse_palette(parameters)
        return build_classical(parameters, labels, inputs, palette, max_image_pixels)
    if name not in _BUILDERS:
        known = " | ".join((*_BUILDERS, _CLASSICAL))
        raise LoadFailed(
            f"config parameter 'family': got '{name}', expected {known}"
            f"{nearest(name, [*_BUILDERS, _CLASSICAL])}"
        )
    size_input = _size_input(parameters, inputs)
    pictures = tuple(spec for spec in inputs if spec.name != size_input)
    image = _image_spec(parameters, pictures)
    images = ImageHalf(image, parse_input_rule(parameters), max_image_pixels, size_input)
    return _BUILDERS[name](_Parts(parameters, labels, outputs, images))


def _named(key: str, wanted: str, specs: tuple[TensorSpec, ...]) -> TensorSpec:
    names = [spec.name for spec in specs]
    if wanted not in names:
        raise LoadFailed(
            f"config parameter '{key}': got '{wanted}', expected one of {names}"
            f"{nearest(wanted, names)}"
        )
    return specs[names.index(wanted)]


def _size_input(parameters: Mapping[str, str], inputs: tuple[TensorSpec, ...]) -> str:
    """Give the name of the input that takes the picture's size, or nothing."""
    wanted = parameters.get("image_size_input", "").strip()
    if not wanted:
        return ""
    spec = _named("image_size_input", wanted, inputs)
    if spec.dtype is not DataType.FP32 or not spec.accepts((2,), batched=False):
        raise LoadFailed(
            f"config parameter 'image_size_input': '{wanted}' must be TYPE_FP32 [2], height and "
            f"width in network pixels, got {spec.dtype.value} {list(spec.dims)}"
        )
    return wanted


def _image_spec(parameters: Mapping[str, str], inputs: tuple[TensorSpec, ...]) -> TensorSpec:
    wanted = parameters.get("image_input", "").strip()
    others = [spec for spec in inputs if not spec.optional]
    if wanted:
        spec = _named("image_input", wanted, inputs)
    elif len(others) == 1:
        spec = others[0]
    else:
        raise LoadFailed(
            f"config parameter 'image_input': say which of {[s.name for s in inputs]} is the image"
        )
    if any(other.name != spec.name for other in others):
        raise LoadFailed(
            f"a family feeds the image input '{spec.name}' and, where 'image_size_input' names it, "
            f"the image's size, but the model also needs "
            f"{[s.name for s in others if s.name != spec.name]}: serve it without the family "
            f"parameter"
        )
    return spec


def _label_ids(parts: _Parts, key: str, count: int | None) -> frozenset[int]:
    ids = ParameterReader(parts.parameters).ids(key)
    wrong = [i for i in ids if count is not None and i >= count]
    if wrong:
        raise LoadFailed(f"config parameter '{key}': got {wrong}, expected ids below {count}")
    return frozenset(ids)


def _semantic(parts: _Parts) -> Family:
    spec = _logits_spec(parts)
    count = _label_count(parts.labels, spec)
    reader = ParameterReader(parts.parameters)
    grid = reader.choice("output_grid", [g.value for g in OutputGrid], OutputGrid.SOURCE.value)
    return SemanticFamily(
        parts.images,
        SemanticRule(
            logits_output=spec.name,
            labels=parts.labels,
            label_count=count,
            align_corners=reader.flag("align_corners", default=False),
            two_step=_two_step(reader),
            output_grid=OutputGrid(grid),
            ignore_ids=_label_ids(parts, "ignore_ids", count),
            thing_ids=_label_ids(parts, "thing_ids", count),
            palette=parse_palette(parts.parameters),
            refinement=_refinement(parts.parameters, count),
        ),
    )


def _refinement(parameters: Mapping[str, str], count: int | None) -> Refinement:
    refinement = parse_refinement(parameters, Refinement())
    try:
        refinement.check_labels(count)
    except InvalidInput as error:
        raise LoadFailed(f"config parameters 'crf_*': {error.message}") from error
    return refinement


def _two_step(reader: ParameterReader) -> bool:
    two_step = reader.choice("upsample", ("direct", "two_step"), "direct") == "two_step"
    if two_step and reader.flag("align_corners", default=False):
        raise refuse("upsample", "two_step", "direct: align_corners is for one step alone")
    return two_step


def _logits_spec(parts: _Parts) -> TensorSpec:
    wanted = parts.parameters.get("logits_output", "").strip()
    if not wanted and len(parts.outputs) != 1:
        raise LoadFailed(
            f"config parameter 'logits_output': say which of "
            f"{[s.name for s in parts.outputs]} holds the logits"
        )
    spec = _named("logits_output", wanted, parts.outputs) if wanted else parts.outputs[0]
    floats = (DataType.FP32, DataType.FP16)
    if spec.dtype not in floats or len(spec.dims) != _LOGITS_RANK:
        raise LoadFailed(
            f"a semantic model's logits must be TYPE_FP32 or TYPE_FP16 [C, h, w], got "
            f"{spec.dtype.value} {list(spec.dims)} for output '{spec.name}'"
        )
    return spec


def _label_count(labels: tuple[str, ...], spec: TensorSpec) -> int | None:
    classes = spec.dims[0]
    if 0 <= classes < _MIN_CLASSES:
        raise LoadFailed(
            f"output '{spec.name}' has {classes} classes, a semantic model needs 2 or more: "
            f"export a background class too"
        )
    if labels and classes > 0 and len(labels) != classes:
        raise LoadFailed(
            f"labels.txt has {len(labels)} lines, but output '{spec.name}' has {classes} classes: "
            f"write one line for each class, N/A where there is no name"
        )
    return classes if classes > 0 else len(labels) or None


def _fraction(text: str) -> float | None:
    value = 0.0 if text in ("0", "0.0") else number(text)
    return value if value is not None and 0 <= value <= 1 else None


def _instance(parts: _Parts) -> InstanceFamily:
    reader = ParameterReader(parts.parameters)
    rule = _MASK_RULES[reader.choice("mask_rule", tuple(_MASK_RULES), "box")](reader)
    names = {spec.name for spec in parts.outputs}
    columns = (*COLUMNS, *rule.columns)
    missing = [name for name in columns if name not in names]
    if missing:
        raise LoadFailed(
            f"an instance model's outputs must be {list(columns)} (and '{VALID}' where rows may "
            f"be padding), got {sorted(names)}: {missing} missing"
        )
    _check_valid(parts.outputs)
    return InstanceFamily(
        parts.images,
        InstanceRule(
            labels=parts.labels,
            score_threshold=reader.read("score_threshold", _fraction, _IN_0_1, 0.0),
            ignore_ids=_label_ids(parts, "ignore_ids", len(parts.labels) or None),
            suppression=parse_suppression(parts.parameters),
        ),
        rule,
    )


def _check_valid(outputs: tuple[TensorSpec, ...]) -> None:
    """Refuse a count of rows that is none; `valid` may be absent."""
    for spec in outputs:
        if spec.name == VALID and (spec.dtype, spec.dims) != (DataType.INT64, (1,)):
            raise LoadFailed(
                f"output '{VALID}': got TYPE_{spec.dtype.value} {list(spec.dims)}, expected "
                f"TYPE_INT64 [1], how many rows of an image are not padding: export the model "
                f"again, or let its graph count them as INT64 [B] and write dims: [ 1 ] reshape "
                f"{{ shape: [ ] }} in config.pbtxt"
            )


def _panoptic(parts: _Parts) -> Family:
    spec = _logits_spec(parts)
    expected = "a whole number: how many labels are things"
    offset = ParameterReader(parts.parameters).read("stuff_offset", whole, expected, 1)
    classes = spec.dims[0]
    if parts.labels and classes > 0 and len(parts.labels) != offset + classes:
        raise LoadFailed(
            f"labels.txt has {len(parts.labels)} lines, but 'stuff_offset' is {offset} and output "
            f"'{spec.name}' has {classes} classes: write a line for each thing, then for each class"
        )
    rule = PanopticRule(spec.name, offset, palette=parse_palette(parts.parameters))
    return PanopticFamily(_instance(parts), rule)


def _box_masks(reader: ParameterReader) -> MaskRule:
    paste = reader.choice("mask_paste", [p.value for p in Paste], Paste.DETECTRON2.value)
    return BoxMasks(reader.read("mask_threshold", _fraction, _IN_0_1, 0.5), Paste(paste))


def _full_masks(reader: ParameterReader) -> MaskRule:
    return FullMasks(reader.read("mask_threshold", _fraction, _IN_0_1, 0.5))


def _prototype_masks(reader: ParameterReader) -> MaskRule:
    return PrototypeMasks(reader.read("mask_threshold", _fraction, _IN_0_1, 0.5))


_IN_0_1 = "a number in 0..1"
_MASK_RULES: dict[str, Callable[[ParameterReader], MaskRule]] = {
    "box": _box_masks,
    "full": _full_masks,
    "contour": lambda _: ContourMasks(),
    "prototypes": _prototype_masks,
}
_BUILDERS: dict[str, Callable[[_Parts], Family]] = {
    "semantic": _semantic,
    "instance": _instance,
    "panoptic": _panoptic,
}
