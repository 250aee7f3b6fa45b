"""What the client gives back: frozen, typed, and with masks that are decoded when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segserve.client.errors import SegserveError, unreadable
from segserve.client.masks import Mask, label_map_from_rles, rle_to_mask
from segserve.client.png import read_label_map
from segserve.core.messages import Timings
from segserve.core.regions import Rle


@dataclass(frozen=True)
class Region:
    """One instance.

    Parameters
    ----------
    box : tuple of float
        x1, y1, x2, y2 in pixels of the source image after EXIF rotation, x2 and y2 exclusive.
    score : float in [0, 1]
    label_id : int
        Line of the model's labels.txt, from 0.
    label : str
        That line; empty where the model has no labels.
    area : int
        Pixels of the mask.
    mask : Rle or None
        None unless RLE was asked for.
    region_id : str
        Equal image, model, box and label give an equal id; may be empty.
    descriptor : tuple of float
        May be empty.
    """

    box: tuple[float, float, float, float]
    score: float
    label_id: int
    label: str
    area: int
    mask: Rle | None = None
    region_id: str = ""
    descriptor: tuple[float, ...] = ()


@dataclass(frozen=True)
class Segment:
    """One label of a semantic map, or one segment of a panoptic one.

    Parameters
    ----------
    segment_id : int
        The value that stands in the map; a semantic map's is the label's id.
    label_id : int
        Line of the model's labels.txt, from 0.
    label : str
        That line; empty where the model has no labels.
    area : int
    is_thing : bool
        A countable object rather than stuff.
    score : float or None
        Panoptic models give one.
    mask : Rle or None
        None unless RLE was asked for.
    """

    segment_id: int
    label_id: int
    label: str
    area: int
    is_thing: bool = False
    score: float | None = None
    mask: Rle | None = None


@dataclass(frozen=True)
class EncodedMap:
    """The map of a semantic or panoptic model as it came over the wire.

    Parameters
    ----------
    height_px, width_px : int
    png : bytes or None
    raw : bytes or None
        Segment ids, row by row.
    bytes_per_pixel : int
        Of `raw`: 1, or 2 for little-endian uint16.
    """

    height_px: int
    width_px: int
    png: bytes | None = None
    raw: bytes | None = None
    bytes_per_pixel: int = 1


@dataclass(frozen=True)
class SegmentResult:
    """What was found in one image.

    Parameters
    ----------
    model, version : str, int
        What ran.
    model_digest, image_digest : str
        ``sha256:`` and 64 hex digits: of the version's files with its config, and of the image's
        bytes as the server received them.
    width_px, height_px : int
        Of the source image after EXIF rotation.
    regions : tuple of Region
        Of instance models, and of panoptic ones before merging; by falling score.
    segments : tuple of Segment
        Of semantic and panoptic models; by falling area.
    map : EncodedMap or None
        Use `label_map` to read it. None where the model makes no map.
    timings : Timings
        Seconds of each phase, measured by the server.
    batch_size : int
        Images in the batch that this one was part of.
    refined : bool or None
        None when no refinement was asked for; False when it was skipped.
    id : str
        The request's.
    """

    model: str
    version: int
    model_digest: str
    image_digest: str
    width_px: int
    height_px: int
    regions: tuple[Region, ...] = ()
    segments: tuple[Segment, ...] = ()
    map: EncodedMap | None = None
    timings: Timings = field(default_factory=Timings)
    batch_size: int = 1
    refined: bool | None = None
    id: str = ""

    def masks(self) -> Iterator[Mask]:
        """Decode the masks one by one, in the order of `regions`, else of `segments`.

        Yields
        ------
        bool [H, W]

        Raises
        ------
        SegserveError
            When the answer holds no masks (mask format ``none``), or a damaged one.
        """
        if self.regions or self.map is None:
            yield from (rle_to_mask(_present(region.mask)) for region in self.regions)
        elif any(segment.mask for segment in self.segments):
            yield from (rle_to_mask(_present(segment.mask)) for segment in self.segments)
        elif self.segments:
            labels = self.label_map()
            yield from (labels == segment.segment_id for segment in self.segments)

    def label_map(
        self, *, fill: int | None = None
    ) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """Decode the map of segment ids, whichever way it came.

        Parameters
        ----------
        fill : int, optional
            What stands where no segment is, for answers in RLE; as in `label_map_from_rles`. In
            PNG and raw maps the server has written these pixels.

        Returns
        -------
        uint8 or uint16 [H, W]

        Raises
        ------
        SegserveError
            When the model makes no map, the answer holds none, or it is damaged.
        """
        if self.map is None:
            raise unreadable(f"model '{self.model}' makes no label map; use masks()")
        if self.map.png is not None:
            return read_label_map(self.map.png)
        if self.map.raw is not None:
            return _from_raw(self.map, self.map.raw)
        rles = [_present(segment.mask) for segment in self.segments]
        ids = [segment.segment_id for segment in self.segments]
        return label_map_from_rles(rles, ids, (self.map.height_px, self.map.width_px), fill=fill)


def _present(mask: Rle | None) -> Rle:
    if mask is None:
        raise unreadable("the answer holds no masks; ask for mask_format RLE, PNG or RAW")
    return mask


def _from_raw(shape: EncodedMap, raw: bytes) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    expected = shape.height_px * shape.width_px * shape.bytes_per_pixel
    if shape.bytes_per_pixel not in (1, 2) or len(raw) != expected:
        raise unreadable(f"the raw label map has {len(raw)} bytes, expected {expected}")
    flat = np.frombuffer(raw, "u1" if shape.bytes_per_pixel == 1 else "<u2")
    return flat.reshape(shape.height_px, shape.width_px)


@dataclass(frozen=True)
class StreamAnswer:
    """What became of one image of `segment_many`.

    Parameters
    ----------
    index : int
        The image's place among those given.
    result : SegmentResult or None
    error : SegserveError or None
        Exactly one of the two is there.
    """

    index: int
    result: SegmentResult | None = None
    error: SegserveError | None = None
