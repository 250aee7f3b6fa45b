"""A small server that finds sky, and pictures to send to it."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from PIL import Image

from segserve.cli.main import main
from segserve.client import mask_to_rle
from segserve.generated.segserve.v1 import segmentation_pb2 as pb

SKY = np.zeros((20, 30), bool)
SKY[:8] = True


class Server:
    """Finds sky, and in images named by `fail` nothing but an error."""

    def __init__(self):
        self.requests = []
        self.failing = {}
        self._server = grpc.server(ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(
            self._segment, pb.SegmentRequest.FromString, pb.SegmentResponse.SerializeToString
        )
        service = grpc.method_handlers_generic_handler(
            "segserve.v1.Segmentation", {"Segment": handler}
        )
        self._server.add_generic_rpc_handlers((service,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _segment(self, request, context):
        self.requests.append(request)
        if request.encoded in self.failing:
            code = self.failing[request.encoded]
            context.set_trailing_metadata((("segserve-error-kind", code.name.lower()),))
            context.abort(code, "cannot use\nthis image")
        rle = mask_to_rle(SKY)
        segments = [
            pb.Segment(
                segment_id=label_id,
                label_id=label_id,
                label=label,
                area_px=int(mask.sum()),
                mask=pb.Rle(height_px=20, width_px=30, counts=mask_to_rle(mask).counts),
            )
            for label_id, label, mask in ((0, "background", ~SKY), (4, "sky", SKY))
        ]
        regions = None
        if request.model_name == "instances":
            regions = pb.Regions(
                boxes=[0, 0, 30, 8],
                scores=[0.875],
                label_ids=[4],
                labels=["sky"],
                areas_px=[240],
                mask_counts=[rle.counts],
                mask_height_px=20,
                mask_width_px=30,
                region_ids=["ab"],
            )
            segments = []
        label_map = pb.LabelMap(height_px=20, width_px=30, segments=segments)
        if request.options.mask_format == pb.MASK_FORMAT_RAW:
            label_map.raw.bytes_per_pixel = 1
            label_map.raw.data = (SKY * 4).astype(np.uint8).tobytes()
            for segment in label_map.segments:
                segment.ClearField("mask")
        return pb.SegmentResponse(
            model_name=request.model_name,
            model_version="2",
            model_digest="sha256:" + "1" * 64,
            image_digest="sha256:" + "0" * 64,
            width_px=30,
            height_px=20,
            timings=pb.Timings(decode_us=1500),
            batch_size=1,
            regions=regions,
            label_map=None if regions else label_map,
        )

    def stop(self):
        self._server.stop(0).wait()


@pytest.fixture(scope="module")
def started():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def server(started):
    started.requests.clear()
    started.failing = {}
    return started


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for number, path in enumerate(paths):
        Image.new("RGB", (30, 20), (number, 0, 0)).save(path)
    return paths


@pytest.fixture
def segment(server):
    return lambda *words: main(["segment", *map(str, words), "--server", server.address])
