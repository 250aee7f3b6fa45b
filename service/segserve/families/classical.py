"""Segmenters without weights: pixels in, a label for every pixel or proposals out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from segserve.core.errors import InvalidInput, LoadFailed, TooLarge
from segserve.core.messages import EncodedImage, Image, RawImage
from segserve.core.options import MaskFormat, OutputSize, SegmentOptions
from segserve.core.tensor import Array, Tensors, TensorSpec
from segserve.families.classical_answers import compact, enlarged, label_map, proposals, shrunk
from segserve.families.family import Findings, Plan
from segserve.families.option_checks import check_options
from segserve.families.parameter_values import ParameterReader, whole
from segserve.families.prompt_tensors import prompt_tensors
from segserve.ops.classical.catalogue import Segmenter, segmenter_named
from segserve.ops.classical.libraries import OWN, implementation_of
from segserve.ops.image import decode
from segserve.ops.image_header import ImageHeader, read_header
from segserve.ops.png import Palette
from segserve.ops.warm import KernelGroup

_IMAGE = "image"
_CHANNELS = 3
_DEFAULT_MAX_SIDE_PX = 500


@dataclass(frozen=True)
class ClassicalContext:
    """What preparing and undoing need.

    Parameters
    ----------
    header : ImageHeader or None
        None for raw pixels.
    inputs : Mapping of str to array
        Options and prompts as tensors, without the batch axis.
    """

    header: ImageHeader | None
    inputs: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassicalRule:
    """What the config says.

    Parameters
    ----------
    segmenter : Segmenter
    dtypes : Mapping of str to dtype
        Of the model's inputs.
    labels : tuple of str
        Line n of labels.txt; usually empty, since clusters have no names.
    max_side_px : int
        Larger images are made smaller first, and the label map larger again.
    max_image_pixels : int
        Larger images are refused before they are decoded.
    palette : Palette
    implementation : str
        ``own``, or the library whose code runs instead.
    """

    segmenter: Segmenter
    dtypes: Mapping[str, np.dtype[np.generic]]
    labels: tuple[str, ...]
    max_side_px: int
    max_image_pixels: int
    palette: Palette = ()
    implementation: str = OWN


def build_classical(
    parameters: Mapping[str, str],
    labels: tuple[str, ...],
    inputs: tuple[TensorSpec, ...],
    palette: Palette,
    max_image_pixels: int,
) -> ClassicalFamily:
    """Build the family of a segmenter without weights.

    Raises
    ------
    LoadFailed
        When the segmenter is not known, an option is out of its bounds, or the model has no image.
    """
    reader = ParameterReader(parameters)
    segmenter = segmenter_named(parameters.get("segmenter", "").strip())
    try:
        segmenter.read_options(parameters)
    except InvalidInput as error:
        raise LoadFailed(f"config parameters: {error.message}") from None
    dtypes = {spec.name: spec.dtype.numpy for spec in inputs}
    if dtypes.get(_IMAGE) != np.uint8:
        raise LoadFailed(
            f"the family classical needs an input 'image' of TYPE_UINT8 [H, W, 3], got "
            f'{[spec.name for spec in inputs]}: use it with backend: "classical"'
        )
    expected = "a whole number of pixels, at least 1"
    side_px = reader.read("max_side", whole, expected, _DEFAULT_MAX_SIDE_PX)
    implementation = implementation_of(parameters)
    return ClassicalFamily(
        ClassicalRule(segmenter, dtypes, labels, side_px, max_image_pixels, palette, implementation)
    )


@dataclass(frozen=True)
class ClassicalFamily:
    """A `Family` for segmenters without weights."""

    rule: ClassicalRule

    @property
    def image_input(self) -> str:
        """Name of the image input."""
        return _IMAGE

    @property
    def kernels(self) -> frozenset[KernelGroup]:
        """The compiled kernels that it and its backend may call."""
        if self.rule.implementation != OWN:
            return frozenset({KernelGroup.LABEL_MAPS})
        return frozenset({KernelGroup.LABEL_MAPS, KernelGroup(self.rule.segmenter.name)})

    @property
    def warm_shapes(self) -> tuple[tuple[int, int], ...]:
        """None: kernels are compiled for every size at once."""
        return ()

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the request parameters that this model takes."""
        return (*(spec.name for spec in self.rule.segmenter.specs), *self.rule.segmenter.prompts)

    def plan(self, image: Image, options: SegmentOptions) -> Plan:
        """Read the header, the options and the prompts.

        Raises
        ------
        InvalidInput, TooLarge, Unsupported
            When the image, an option or a prompt cannot be served.
        """
        check_options(options, len(self.rule.labels) or None, takes_parameters=True)
        self._check(options)
        header = None
        match image:
            case EncodedImage(data):
                header = read_header(data, max_pixels=self.rule.max_image_pixels)
                height, width = header.height_px, header.width_px
            case RawImage(pixels):
                height, width = pixels.shape[:2]
                if height * width > self.rule.max_image_pixels:
                    raise TooLarge(
                        f"the image has {width} x {height} pixels, over the limit of "
                        f"{self.rule.max_image_pixels}: send a smaller one, or raise "
                        f"--max-image-pixels"
                    )
        work = self._work_size(height, width)
        inputs = self._inputs(options, (work[1] / width, work[0] / height))
        shapes = {_IMAGE: (*work, _CHANNELS), **{n: a.shape for n, a in inputs.items()}}
        return Plan(
            source_width_px=width,
            source_height_px=height,
            inputs_shapes=shapes,
            inputs_dtypes={name: self.rule.dtypes[name] for name in shapes},
            bucket=work,
            decoded_bytes=height * width * _CHANNELS,
            padding_ratio=0.0,
            context=ClassicalContext(header, inputs),
        )

    def _check(self, options: SegmentOptions) -> None:
        known = self.parameter_names
        unknown = [name for name in options.parameters if name not in known]
        if unknown:
            raise InvalidInput(
                f"parameter '{unknown[0]}' is not one of {self.rule.segmenter.name}'s: "
                f"{', '.join(known)}"
            )
        if self._proposes and options.mask_format in (MaskFormat.PNG, MaskFormat.RAW):
            raise InvalidInput("proposals overlap: ask for mask_format rle or none")
        if not self._proposes and options.score_threshold is not None:
            raise InvalidInput("score_threshold does not apply: labels have no score; leave it out")

    @property
    def _proposes(self) -> bool:
        return "boxes" in self.rule.segmenter.outputs

    def _work_size(self, height: int, width: int) -> tuple[int, int]:
        scale = min(1.0, self.rule.max_side_px / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _inputs(self, options: SegmentOptions, scale: tuple[float, float]) -> dict[str, Array]:
        """Give options and prompts as tensors, in pixels of the working size."""
        segmenter = self.rule.segmenter
        values = segmenter.read_options(options.parameters)
        inputs: dict[str, Array] = {
            spec.name: np.array([spec.to_number(values[spec.name])], self.rule.dtypes[spec.name])
            for spec in segmenter.specs
            if spec.name in values
        }
        return {**inputs, **prompt_tensors(options, segmenter.prompts, scale)}

    def preprocess(self, image: Image, plan: Plan, out: Mapping[str, Array]) -> None:
        """Decode into ``out["image"]``, smaller where the image is over the working size.

        Raises
        ------
        InvalidInput
            When the image is broken.
        """
        context = _context(plan)
        target = out[_IMAGE]
        match image:
            case RawImage(pixels):
                decoded = pixels
            case EncodedImage(data):
                limit = self.rule.max_image_pixels
                decoded = decode(data, max_pixels=limit, header=context.header)
        target[...] = shrunk(decoded, target.shape[:2])
        for name, array in context.inputs.items():
            out[name][...] = array

    def postprocess(self, outputs: Tensors, plan: Plan, options: SegmentOptions) -> Findings:
        """Bring the label map to the source's size and encode what was asked for.

        Raises
        ------
        InvalidInput
            When the options ask for so small regions that there are more than ids.
        """
        labels = compact(outputs["labels"])
        if options.output_size is not OutputSize.STRIDE:
            labels = enlarged(labels, plan.source_height_px, plan.source_width_px)
        if self._proposes:
            return Findings(regions=proposals(outputs, labels, options))
        return Findings(label_map=label_map(labels, options, self.rule.palette))

    def describe(self) -> Mapping[str, object]:
        """Tell, in values that JSON has, what images, options and prompts this model takes."""
        segmenter = self.rule.segmenter
        formats = (MaskFormat.RLE, MaskFormat.NONE) if self._proposes else tuple(MaskFormat)
        return {
            "kind": "proposals" if self._proposes else "classical",
            "segmenter": segmenter.name,
            "image_input": _IMAGE,
            "image_formats": ["jpeg", "png", "webp", "raw"],
            "max_pixels": self.rule.max_image_pixels,
            "max_side_px": self.rule.max_side_px,
            "parameters": {
                spec.name: {"default": spec.default, "expected": spec.expected, "about": spec.about}
                for spec in segmenter.specs
            },
            "prompts": list(segmenter.prompts),
            "mask_formats": [m.value for m in formats],
            "output_sizes": [o.value for o in OutputSize],
            "options": ["mask_format", "top_k", "min_area_px", "label_ids", "output_size"],
        }


def _context(plan: Plan) -> ClassicalContext:
    if not isinstance(plan.context, ClassicalContext):
        raise InvalidInput(f"the plan holds {type(plan.context).__name__}, not a ClassicalContext")
    return plan.context
