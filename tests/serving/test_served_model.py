"""One version's own rules: cost before work, neighbours unharmed, closing."""

import asyncio

import numpy as np
import pytest

from segserve.core.errors import InvalidInput, NotReady
from segserve.core.messages import EncodedImage, ModelRef, RawImage, SegmentRequest
from segserve.core.options import Refine, SegmentOptions
from segserve.observability.tracing import Stamps
from segserve.serving import served_model
from segserve.serving.refine_step import Finisher


async def test_cost_is_known_before_anything_is_decoded(open_house, repository, writers):
    writers.bright(repository)
    served = (await open_house()).registry.get(ModelRef("bright"))
    pixels = np.zeros((100, 200, 3), np.uint8)
    job = served.segment_job(SegmentRequest(ModelRef("bright"), RawImage(pixels)))
    assert job.cost_bytes >= 100 * 200 * 3 * (1 + 4)


async def test_a_bad_image_is_found_by_its_header(open_house, repository, writers):
    writers.bright(repository)
    served = (await open_house()).registry.get(ModelRef("bright"))
    with pytest.raises(InvalidInput):
        served.segment_job(SegmentRequest(ModelRef("bright"), EncodedImage(b"GIF89a....")))


@pytest.mark.parametrize(
    ("side_px", "before_the_batch"),
    [(8, ["queue", "decode"]), (900, ["decode", "queue"])],  # at once; on a thread of its own
)
async def test_phases_are_stamped(open_house, repository, writers, side_px, before_the_batch):
    writers.bright(repository)
    served = (await open_house()).registry.get(ModelRef("bright"))
    pixels = np.zeros((side_px, side_px, 3), np.uint8)
    stamps = Stamps()
    await served.segment_job(SegmentRequest(ModelRef("bright"), RawImage(pixels))).start(stamps)
    by_start = sorted(stamps.phases, key=lambda phase: phase[1])
    assert [name for name, *_ in by_start] == [*before_the_batch, "batch", "infer", "post"]
    assert all(start <= end for _, start, end in stamps.phases)


@pytest.mark.parametrize(("large_bytes", "ends_in_slot"), [(1, True), (1 << 30, False)])
async def test_an_accelerator_waits_for_the_masks_of_large_outputs_alone(
    open_house, repository, writers, monkeypatch, large_bytes, ends_in_slot
):
    """So that no second image's logits at full size are held beside the first one's."""
    finished, finish = [], Finisher.finish

    async def spied(self, request, *rest, bulk=False):
        finished.append(request)
        return await finish(self, request, *rest, bulk=bulk)

    monkeypatch.setattr(Finisher, "finish", spied)
    monkeypatch.setattr(served_model, "_LARGE_OUTPUT_BYTES", large_bytes)
    writers.bright(repository)
    served = (await open_house()).registry.get(ModelRef("bright"))
    monkeypatch.setattr(served, "_on_cpu", False)
    request = SegmentRequest(ModelRef("bright"), RawImage(np.zeros((8, 8, 3), np.uint8)))
    await served.segment_job(request).start(Stamps())  # tells how large outputs are
    finished.clear()
    answer = await served.segment_job(request).start(Stamps())
    assert answer.label_map.segments
    assert finished == ([] if ends_in_slot else [request])


async def test_a_closed_version_refuses(open_house, repository, writers):
    writers.bright(repository)
    house = await open_house()
    served = house.registry.get(ModelRef("bright"))
    pixels = np.zeros((8, 8, 3), np.uint8)
    jobs = [served.segment_job(SegmentRequest(ModelRef("bright"), RawImage(pixels))) for _ in "ab"]
    running = asyncio.create_task(jobs[0].start(Stamps()))
    await asyncio.sleep(0)
    await running
    await served.parts.lanes.main.batcher.close(NotReady("gone"))
    with pytest.raises(NotReady, match="gone"):
        await jobs[1].start(Stamps())


@pytest.mark.parametrize(("max_ms", "refined"), [("5000", True), ("0.001", False)])
async def test_a_refinement_keeps_its_budget_or_is_flagged(
    open_house, repository, writers, max_ms, refined
):
    writers.bright(repository)
    served = (await open_house()).registry.get(ModelRef("bright"))
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    options = SegmentOptions(refine=Refine.DENSE_CRF, parameters={"crf_max_ms": max_ms})
    request = SegmentRequest(ModelRef("bright"), RawImage(pixels), options)
    answer = await served.segment_job(request).start(Stamps())
    assert answer.refined is refined
    assert [(s.label_id, s.area) for s in answer.label_map.segments] == [(0, 128), (1, 128)]
