"""The half that all families of images share: from encoded bytes to the network's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segserve.core.errors import InvalidInput, LoadFailed, TooLarge
from segserve.core.messages import EncodedImage, Image, RawImage
from segserve.core.tensor import Array, DataType, TensorSpec
from segserve.families.family import Plan
from segserve.families.input_rule import InputRule
from segserve.families.shapes import Placement, ResizeKind, ShapePolicy, Size, place, target_size
from segserve.ops.image import decode
from segserve.ops.image_header import ImageHeader, read_header
from segserve.ops.resize import normalise, resize_normalise, resize_pillow

_RANK = 3
_CHANNELS = 3


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
    """

    spec: TensorSpec
    rule: InputRule
    max_pixels: int

    def __post_init__(self) -> None:
        """Refuse rules that the network's input contradicts."""
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
        rule = self.rule
        target = target_size(rule.resize, source)
        placement = place(rule.shape_policy, rule.buckets, target)
        height, width = placement.network
        if not self._fits(placement.network):
            raise InvalidInput(
                f"input '{self.spec.name}' takes {list(self.spec.dims)}, but this "
                f"{source[1]}x{source[0]} image would come as {[_CHANNELS, height, width]}: "
                f"send that size, or set the config's resize to stretch:HxW"
            )
        if height * width > self.max_pixels:
            raise TooLarge(
                f"this {source[1]}x{source[0]} image would be resized to {width}x{height}, over "
                f"the limit of {self.max_pixels} pixels"
            )
        return Plan(
            source_width_px=source[1],
            source_height_px=source[0],
            inputs_shapes={self.spec.name: (_CHANNELS, height, width)},
            bucket=placement.network,
            decoded_bytes=_CHANNELS * source[0] * source[1],
            padding_ratio=placement.padding_ratio,
            context=ImageContext(placement, header),
        )

    def _raw_size(self, pixels: Array) -> Size:
        if pixels.dtype != np.uint8 or pixels.ndim != _RANK or pixels.shape[2] != _CHANNELS:
            raise InvalidInput(
                f"raw pixels must be uint8 [H, W, 3], got {pixels.dtype} {list(pixels.shape)}"
            )
        height, width = pixels.shape[:2]
        if height * width == 0:
            raise InvalidInput(f"an image has at least one pixel, got {width}x{height}")
        if height * width > self.max_pixels:
            raise TooLarge(f"the image has {width}x{height} pixels, the limit is {self.max_pixels}")
        return height, width

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
        context = context_of(plan)
        content = context.placement.content
        pixels = self._pixels(image, context, content)
        if self.rule.fast:
            resize_normalise(pixels, out, self.rule.normalisation, content)
        else:
            normalise(resize_pillow(pixels, content), out, self.rule.normalisation)

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
        return self.rule.fast and (resized or self.rule.shape_policy is ShapePolicy.RESIZE)

    def describe(self) -> dict[str, object]:
        """Tell, in values that JSON has, which images are taken and what happens to them."""
        rule = self.rule
        resize: dict[str, object] = {"kind": rule.resize.kind.value}
        if rule.resize.kind is ResizeKind.STRETCH:
            resize["size"] = list(rule.resize.size)
        elif rule.resize.kind is not ResizeKind.NONE:
            resize["side_px"] = rule.resize.side_px
        return {
            "image_input": self.spec.name,
            "image_formats": ["jpeg", "png", "webp", "raw"],
            "max_pixels": self.max_pixels,
            "resize": resize,
            "interpolation": "fast_bilinear" if rule.fast else "pillow_bilinear",
            "shape_policy": rule.shape_policy.value,
            "buckets": [list(bucket) for bucket in rule.buckets],
            "channel_order": "rgb" if rule.normalisation.order[0] == 0 else "bgr",
        }


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
