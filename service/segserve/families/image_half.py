"""The half that all families of images share: from encoded bytes to the network's input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from segserve.core.errors import InvalidInput, LoadFailed, TooLarge
from segserve.core.messages import EncodedImage, Image, RawImage
from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.families.family import Plan
from segserve.families.input_rule import InputRule, Interpolation
from segserve.families.shapes import (
    Placement,
    ResizeKind,
    ResizeRule,
    ShapePolicy,
    Size,
    place,
    target_size,
)
from segserve.ops.image import decode
from segserve.ops.image_header import ImageHeader, read_header
from segserve.ops.resize import resize_normalise, resize_pillow
from segserve.ops.resize_opencv import resize_normalise_opencv
from segserve.ops.resize_pillow import resize_normalise_pillow
from segserve.ops.resize_torch import resize_normalise_torch

_RANK = 3
_CHANNELS = 3
_SIZES_KEPT = 256


@dataclass(frozen=True)
class ImageContext:
    """What undoing the preparation needs.

    Parameters
    ----------
    placement : Placement
    header : ImageHeader or None
        None for raw pixels.
    """

    placement: Placement
    header: ImageHeader | None


@dataclass(frozen=True)
class ImageHalf:
    """Plans and prepares images by an input rule.

    Parameters
    ----------
    spec : TensorSpec
        The network's image input, without the batch axis: FP32 [3, H, W].
    rule : InputRule
    max_pixels : int
        Larger images are refused before they are decoded.
    size_input : str
        Name of the network's second input, FP32 [2]: height and width of what the image fills, in
        network pixels, or of the source where the rule says so. Empty where there is none.
    """

    spec: TensorSpec
    rule: InputRule
    max_pixels: int
    size_input: str = ""
    _placements: Callable[[Size], tuple[Placement, float]] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse rules that the network's input contradicts."""
        object.__setattr__(self, "_placements", lru_cache(_SIZES_KEPT)(self._place))
        spec, dims = self.spec, self.spec.dims
        if spec.dtype is not DataType.FP32 or len(dims) != _RANK or dims[0] not in (-1, _CHANNELS):
            raise LoadFailed(
                f"a family's image input must be TYPE_FP32 [3, H, W], got {spec.dtype.value} "
                f"{list(dims)} for input '{spec.name}': serve it without the family parameter"
            )
        for height, width in self.rule.warm_shapes:
            if not self._fits((height, width)):
                raise LoadFailed(
                    f"config parameters ask for {height}x{width}, but input '{spec.name}' is "
                    f"fixed to {list(dims)}: name sizes (HxW) that it takes"
                )

    def _fits(self, size: Size) -> bool:
        return self.spec.accepts((_CHANNELS, *size), batched=False)

    def plan(self, image: Image) -> Plan:
        """Read the header and choose the network's size.

        Raises
        ------
        InvalidInput, TooLarge
            When the image cannot be served.
        """
        header = None
        match image:
            case EncodedImage(data):
                header = read_header(data, max_pixels=self.max_pixels)
                source = (header.height_px, header.width_px)
            case RawImage(pixels):
                source = self._raw_size(pixels)
        placement, padding_ratio = self._placements(source)
        return Plan(
            source_width_px=source[1],
            source_height_px=source[0],
            inputs_shapes=self._shapes(placement.network),
            bucket=placement.network,
            decoded_bytes=_CHANNELS * source[0] * source[1],
            padding_ratio=padding_ratio,
            context=ImageContext(placement, header),
        )

    def _place(self, source: Size) -> tuple[Placement, float]:
        """Place an image of a size (height, width), and say which part is padding."""
        rule = self.rule
        target = target_size(rule.resize, source)
        self._check_target(source, target)
        placement = place(rule.shape_policy, rule.buckets, target, rule.size_multiple)
        height, width = placement.network
        if not self._fits(placement.network):
            raise InvalidInput(
                f"input '{self.spec.name}' takes {list(self.spec.dims)}, but this "
                f"{source[1]}x{source[0]} image would come as {[_CHANNELS, height, width]}: "
                f"send that size, or set the config's resize to stretch:HxW"
            )
        if height * width > rule.max_network_pixels:
            raise TooLarge(
                f"this {source[1]}x{source[0]} image would be {width}x{height} for the network, "
                f"over the model's limit of {rule.max_network_pixels} pixels: send a smaller or "
                f"less narrow one, or raise max_network_pixels in the model's config"
            )
        return placement, placement.padding_ratio

    def _check_target(self, source: Size, target: Size) -> None:
        height, width = self.rule.required_multiple
        if target[0] % height or target[1] % width:
            raise InvalidInput(
                f"this {source[1]}x{source[0]} image would be resized to {target[1]}x{target[0]}, "
                f"but the model takes multiples of {width}x{height} (width x height) alone: send "
                f"another aspect ratio, or set the config's resize to stretch:HxW"
            )

    def _shapes(self, network: Size) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {self.spec.name: (_CHANNELS, *network)}
        if self.size_input:
            shapes[self.size_input] = (len(network),)
        return shapes

    def _raw_size(self, pixels: Array) -> Size:
        if pixels.dtype != np.uint8 or pixels.ndim != _RANK or pixels.shape[2] != _CHANNELS:
            raise InvalidInput(
                f"raw pixels must be uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}"
            )
        height, width = pixels.shape[:2]
        if height * width == 0:
            raise InvalidInput(f"an image has at least one pixel, got {width}x{height}")
        if height * width > self.max_pixels:
            raise TooLarge(
                f"the image has {width}x{height} pixels, the limit is {self.max_pixels}: send a "
                f"smaller image, or raise --max-image-pixels"
            )
        return height, width

    def fill(self, image: Image, plan: Plan, out: Mapping[str, Array]) -> None:
        """Fill every input of the network: the picture (see `prepare`), and its size if asked for.

        Parameters
        ----------
        out : Mapping of str to float32 array
            One writable row for each of ``plan.inputs_shapes``.

        Raises
        ------
        InvalidInput
            When the image is broken.
        """
        self.prepare(image, plan, out[self.spec.name])
        if self.size_input:
            content = context_of(plan).placement.content
            source = (plan.source_height_px, plan.source_width_px)
            out[self.size_input][:] = source if self.rule.tells_source_size else content

    def prepare(self, image: Image, plan: Plan, out: Array) -> None:
        """Decode, resize, normalise and pad into `out`, all of which is written.

        Parameters
        ----------
        out : float32 [3, H, W]
            Of the plan's shape.

        Raises
        ------
        InvalidInput
            When the image is broken.
        """
        context, rule = context_of(plan), self.rule
        content = context.placement.content
        pixels = self._pixels(image, context, content)
        match rule.interpolation:
            case Interpolation.FAST:
                resize_normalise(pixels, out, rule.normalisation, content)
            case Interpolation.PILLOW:
                resize_normalise_pillow(pixels, out, rule.normalisation, content)
            case Interpolation.OPENCV:
                resize_normalise_opencv(pixels, out, rule.normalisation, content)
            case Interpolation.TORCH:
                first = rule.normalise_first
                resize_normalise_torch(
                    pixels, out, rule.normalisation, content, normalise_first=first
                )

    def pixels(self, image: Image, plan: Plan, size: Size) -> Array:
        """Decode at full size and, where that is another one, resize.

        Returns
        -------
        pixels : uint8 [H, W, 3]
            RGB, upright, of the given (height, width).

        Raises
        ------
        InvalidInput
            When the image is broken.
        """
        match image:
            case RawImage(pixels):
                whole = pixels
            case EncodedImage(data):
                header = context_of(plan).header
                whole = decode(data, max_pixels=self.max_pixels, header=header)
        return whole if whole.shape[:2] == size else resize_pillow(whole, size)

    def _pixels(self, image: Image, context: ImageContext, content: Size) -> Array:
        match image:
            case RawImage(pixels):
                return pixels
            case EncodedImage(data):
                return decode(
                    data,
                    min_size_px=content if self._may_shrink() else None,
                    max_pixels=self.max_pixels,
                    header=context.header,
                )

    def _may_shrink(self) -> bool:
        """Whether a JPEG may be decoded at a fraction of its size: only where it is resized."""
        resized = self.rule.resize.kind is not ResizeKind.NONE
        fast = self.rule.interpolation is Interpolation.FAST
        return fast and (resized or self.rule.shape_policy is ShapePolicy.RESIZE)

    def describe(self) -> dict[str, object]:
        """Tell, in values that JSON has, which images are taken and what happens to them."""
        rule = self.rule
        return {
            "image_input": self.spec.name,
            "image_formats": ["jpeg", "png", "webp", "raw"],
            "max_pixels": self.max_pixels,
            "resize": _described(rule.resize),
            "interpolation": rule.interpolation.value,
            "size_multiple": rule.size_multiple,
            "shape_policy": rule.shape_policy.value,
            "buckets": [list(bucket) for bucket in rule.buckets],
            "channel_order": "rgb" if rule.normalisation.order[0] == 0 else "bgr",
        }


def _described(rule: ResizeRule) -> dict[str, object]:
    resize: dict[str, object] = {"kind": rule.kind.value}
    if rule.kind is ResizeKind.STRETCH:
        resize["size"] = list(rule.size)
    elif rule.kind is not ResizeKind.NONE:
        resize["side_px"] = rule.side_px
    if rule.kind is ResizeKind.SHORTEST_SIDE:
        resize["max_side_px"] = rule.cap_px or None
        resize["rounding"] = rule.rounding.value
    return resize


def context_of(plan: Plan) -> ImageContext:
    """Give what `ImageHalf.plan` stored.

    Raises
    ------
    InvalidInput
        When another family made the plan.
    """
    if not isinstance(plan.context, ImageContext):
        raise InvalidInput(f"the plan holds {type(plan.context).__name__}, not an ImageContext")
    return plan.context
