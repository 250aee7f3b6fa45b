"""One loaded version of a model: images or tensors in, regions or tensors out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

from segserve.core.errors import ServiceError, Unsupported
from segserve.core.messages import (
    InferRequest,
    InferResponse,
    ModelRef,
    SegmentRequest,
    SegmentResponse,
    Timings,
)
from segserve.core.options import MaskFormat
from segserve.core.tensor import Array, TensorSpec, content_bytes
from segserve.execution.cpu_pool import Priority
from segserve.execution.instances import Instances
from segserve.families.family import Family, TakesParameters
from segserve.observability.metrics import ModelMetrics
from segserve.observability.tracing import Stamps
from segserve.repository.model_config import ModelConfig
from segserve.scheduling.batch import stack
from segserve.scheduling.batcher import BatchResult, Item
from segserve.scheduling.ordering import Ordering
from segserve.serving.cpu_side import CpuSide
from segserve.serving.decode_line import decode_line
from segserve.serving.image_steps import image_bytes, prepare_image
from segserve.serving.image_tensors import carries_images, to_segment_requests, to_tensors
from segserve.serving.job import Answer, Job, Look
from segserve.serving.lane import Lanes
from segserve.serving.outputs_size import OutputsSize
from segserve.serving.refine_step import Finisher
from segserve.serving.region_ids import region_ids
from segserve.serving.request_checks import check_inputs, check_outputs
from segserve.serving.statistics import ModelMeter


@dataclass(frozen=True)
class ServedParts:
    """What a loaded version is made of.

    Parameters
    ----------
    ref : ModelRef
        With a concrete version.
    config : ModelConfig
        Auto-completed.
    digest : str
        ``sha256:`` over the version's files and its config.
    inputs, outputs : tuple of TensorSpec
        Without the batch axis.
    family : Family or None
        None: tensors in and out only.
    """

    ref: ModelRef
    config: ModelConfig
    digest: str
    labels: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    family: Family | None
    instances: Instances
    lanes: Lanes
    cpu: CpuSide
    metrics: ModelMetrics
    meter: ModelMeter


_FLOAT_BYTES = 4
_LARGE_OUTPUT_BYTES = 64 << 20
"""Of one image: logits at its full size. An accelerator, too, waits until they are gone."""


class ServedModel:
    """Runs requests of one model version through decode, batch, model and masks."""

    def __init__(self, parts: ServedParts) -> None:
        self.parts = parts
        self._batched = parts.config.max_batch_size > 0
        self._batcher = parts.lanes.main.batcher
        self._on_cpu = parts.instances.device == "cpu"
        self._outputs = OutputsSize(parts.outputs)
        self._ordering = Ordering()
        self._finisher: Finisher | None = None
        if parts.family is not None:
            self._finisher = Finisher(parts.family, parts.cpu, parts.metrics)

    def _is_bulk(self, request: InferRequest | SegmentRequest) -> bool:
        return self._batcher.limits.is_bulk(request.priority)

    def _job(
        self,
        cost_bytes: int,
        start: Callable[[Stamps], Awaitable[Answer]],
        request: InferRequest | SegmentRequest,
    ) -> Job[Answer]:
        """Make a job; where order is preserved, its place is taken when it is started."""
        if self._batcher.limits.preserve_ordering:
            start = partial(self._ordering.in_turn, start)
        return Job(cost_bytes, start, self._is_bulk(request))

    def infer_job(self, request: InferRequest) -> Job[InferResponse]:
        """Look at a tensor request, or one that carries encoded images; nothing runs yet.

        Raises
        ------
        InvalidInput
            When inputs, requested outputs or an image's header are wrong.
        """
        family = self.parts.family
        if family is not None and carries_images(request, family.image_input):
            names = family.parameter_names if isinstance(family, TakesParameters) else ()
            images = to_segment_requests(request, family.image_input, names)
            looks = [self._look(image) for image in images]
            cost_bytes = sum(look.cost_bytes for look in looks)
            return self._job(cost_bytes, partial(self._infer_images, request, looks), request)
        rows = check_inputs(
            request, self.parts.inputs, max_batch_size=self.parts.config.max_batch_size
        )
        names = check_outputs(request, [spec.name for spec in self.parts.outputs])
        cost_bytes = 2 * sum(content_bytes(array) for array in request.inputs.values())
        return self._job(cost_bytes, partial(self._infer, request, rows, names), request)

    async def _infer(
        self, request: InferRequest, rows: int, names: Sequence[str], stamps: Stamps
    ) -> InferResponse:
        results = await self._submit_rows(request, rows)
        outputs: dict[str, Array] = {}
        for name in names:
            column = [result.outputs[name] for result in results]
            outputs[name] = stack(column) if self._batched else column[0]
        timings = Timings.slowest([result.timings for result in results])
        stamps.batch_ended_now(timings)
        return InferResponse(
            model=self.parts.ref,
            outputs=outputs,
            id=request.id,
            timings=timings,
            batch_size=max(result.batch_size for result in results),
        )

    async def _submit_rows(self, request: InferRequest, rows: int) -> Sequence[BatchResult]:
        arrays = request.inputs
        shape_key = tuple(
            (name, array.shape[1:] if self._batched else array.shape)
            for name, array in sorted(arrays.items())
        )
        items = [
            Item(
                inputs={n: a[row, ...] for n, a in arrays.items()} if self._batched else arrays,
                bucket=shape_key,
                deadline=request.deadline,
                queue_timeout_us=request.queue_timeout_us,
                priority=request.priority,
            )
            for row in range(rows)
        ]
        return await self._batcher.submit_all(items)

    async def _infer_images(
        self, request: InferRequest, looks: Sequence[Look], stamps: Stamps
    ) -> InferResponse:
        mask_format = request.options.mask_format or MaskFormat.RLE
        tasks = [asyncio.ensure_future(self._segment(look, stamps)) for look in looks]
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        outputs = to_tensors(answers, mask_format)
        names = check_outputs(request, list(outputs))
        return InferResponse(
            model=self.parts.ref,
            outputs={name: outputs[name] for name in names},
            id=request.id,
            timings=Timings.slowest([answer.timings for answer in answers]),
            batch_size=max(answer.batch_size for answer in answers),
        )

    def segment_job(self, request: SegmentRequest) -> Job[SegmentResponse]:
        """Look at an image's header and the options; nothing runs yet.

        Raises
        ------
        Unsupported
            When the model has no family, so that nobody knows how to feed it an image.
        InvalidInput
            When the image's header or the options are wrong.
        """
        look = self._look(request)
        return self._job(look.cost_bytes, partial(self._segment, look), request)

    def _look(self, request: SegmentRequest) -> Look:
        """Plan an image, and count wire bytes, decoded pixels, network input and outputs."""
        finisher = self._last_step()
        plan = finisher.family.plan(request.image, request.options)
        prepared = sum(prod(shape) * _FLOAT_BYTES for shape in plan.inputs_shapes.values())
        bytes_in = len(image_bytes(request.image)) + plan.decoded_bytes + prepared
        outputs = self._outputs.expected_bytes(prepared)
        ends_in_slot = self._on_cpu or outputs >= _LARGE_OUTPUT_BYTES
        return Look(request, plan, prepared, bytes_in + outputs, finisher, ends_in_slot)

    def _last_step(self) -> Finisher:
        if self._finisher is None:
            raise Unsupported(
                f"model {self.parts.ref.described()} takes tensors only: its config.pbtxt has no "
                f'`family` parameter, e.g. parameters {{ key: "family" value {{ string_value: '
                f'"semantic" }} }}'
            )
        return self._finisher

    async def _segment(self, look: Look, stamps: Stamps) -> SegmentResponse:
        parts, request, plan, finisher = self.parts, look.request, look.plan, look.finisher
        digest, decode_s, result = await self._network(look, stamps)
        self._outputs.seen(look.prepared_bytes, result.outputs_bytes)
        timings = result.timings
        decoded_s = None if result.begun is None else decode_s
        if result.done is None:
            stamps.batch_ended_now(timings, decode_s=decoded_s)
            outputs, bulk = result.outputs, self._is_bulk(request)
            findings, post_s = await finisher.finish(request, outputs, plan, bulk=bulk)
            stamps.ended_now("post", post_s)
        else:
            findings, post_s = result.done
            stamps.batch_ended_now(timings, decode_s=decoded_s, post_s=post_s)
        regions = findings.regions
        if regions is not None:
            regions = replace(regions, region_id=region_ids(digest, parts.digest, regions))
        return SegmentResponse(
            model=parts.ref,
            model_digest=parts.digest,
            image_digest=digest,
            width_px=plan.source_width_px,
            height_px=plan.source_height_px,
            label_map=findings.label_map,
            regions=regions,
            refined=findings.refined,
            id=request.id,
            timings=replace(timings, decode_s=decode_s, post_s=post_s),
            batch_size=result.batch_size,
        )

    async def _network(self, look: Look, stamps: Stamps) -> tuple[str, float, BatchResult]:
        """Decode and run one image; gives its digest, the decoding's seconds, and its outputs.

        A function of its own, so that nothing holds the prepared rows when it has ended.
        """
        parts, request, plan = self.parts, look.request, look.plan
        bulk = self._is_bulk(request)
        parts.metrics.padded(plan.padding_ratio)
        pool, bucket = parts.cpu.pool, tuple(sorted(plan.inputs_shapes.items()))
        refined = look.finisher.refines(request)
        lane = parts.lanes.choose(pool, bucket, refined=refined)
        with (
            parts.cpu.room.enter(look.cost_bytes, bulk=bulk) as place,
            await lane.prepared.row(request.deadline, bulk=bulk),
        ):
            rows = lane.slabs.row(plan.inputs_shapes, plan.inputs_dtypes)
            prepare = partial(prepare_image, look.finisher.family, request.image, plan, rows)
            line = decode_line(plan, pool, lane) if self._on_cpu else Priority.PRE
            item = Item(
                inputs=rows,
                bucket=bucket,
                deadline=request.deadline,
                queue_timeout_us=request.queue_timeout_us,
                priority=request.priority,
                first=prepare if line is None else None,
                then=look.finisher.unrefined(request, plan) if look.ends_in_slot else None,
            )
            if line is None:
                result = await lane.batcher.submit(item)
                return *result.begun, result
            digest, decode_s = await pool.run(
                prepare, priority=line, bulk=bulk, deadline=request.deadline
            )
            place.release()
            stamps.ended_now("decode", decode_s)
            return digest, decode_s, await lane.batcher.submit(item)

    async def close(self, reason: ServiceError, timeout_s: float) -> None:
        """Let what runs end, bounded, fail what waits, and free the model."""
        await self.parts.lanes.close(reason, timeout_s)
        await self.parts.instances.close()
