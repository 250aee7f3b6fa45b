"""What a worker process does for a segmenter of a library."""

from __future__ import annotations

from segserve.execution.worker_frames import Frame
from segserve.ops.classical.catalogue import segmenter_named
from segserve.ops.classical.libraries import segment_by_library
from segserve.ops.classical.options import with_values
from segserve.ops.classical.segmentation import Prompts

FUNCTION = "segserve.execution.classical_worker:segment"
IMAGE = "image"


def segment(asked: Frame) -> Frame:
    """Segment one image.

    Parameters
    ----------
    asked : Frame
        ``segmenter`` and ``options`` by name as values; ``image`` and prompts as arrays.

    Raises
    ------
    InvalidInput
        When the image, an option or a prompt is wrong.
    """
    name = str(asked.values["segmenter"])
    options = with_values(segmenter_named(name).options(), asked.values["options"])
    prompts = Prompts(**{k: v for k, v in asked.arrays.items() if k != IMAGE})
    return Frame({}, {"labels": segment_by_library(name, asked.arrays[IMAGE], options, prompts)})
