"""The CPU halves of an image's request."""

from hashlib import sha256

import numpy as np

from segserve.core.messages import EncodedImage, RawImage
from segserve.core.options import SegmentOptions
from segserve.families.family import Findings
from segserve.serving.image_steps import finish_image, image_bytes, prepare_image


class FakeFamily:
    def preprocess(self, image, plan, out):
        out["image"][:] = plan

    def postprocess(self, outputs, plan, options):
        return Findings(label_map=None, regions=None, refined=options.top_k == plan)


def test_prepare_fills_the_row_and_digests_what_was_received():
    row = {"image": np.zeros(3, np.float32)}
    digest, seconds = prepare_image(FakeFamily(), EncodedImage(b"jpeg"), 7, row)
    assert row["image"].tolist() == [7, 7, 7]
    assert digest == "sha256:" + sha256(b"jpeg").hexdigest()
    assert seconds >= 0


def test_finish_passes_plan_and_options():
    findings, seconds = finish_image(FakeFamily(), 5, SegmentOptions(top_k=5), {})
    assert findings.refined is True
    assert seconds >= 0


def test_bytes_of_raw_pixels_do_not_depend_on_their_layout():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    turned = np.asfortranarray(pixels)
    assert bytes(image_bytes(RawImage(turned))) == bytes(image_bytes(RawImage(pixels)))
