"""The one facade that every transport calls: requests in, answers out, models told about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from segserve.core.errors import InvalidInput, ShuttingDown
from segserve.core.messages import (
    InferRequest,
    InferResponse,
    ModelRef,
    SegmentRequest,
    SegmentResponse,
)
from segserve.core.tensor import TensorSpec
from segserve.observability.tracing import Tracer
from segserve.repository.model_config import ModelConfig
from segserve.scheduling.admission import Admission
from segserve.serving.accounting import Accounts, Work
from segserve.serving.control import ModelControl
from segserve.serving.image_tensors import answer_tensors
from segserve.serving.job import Answer, Job
from segserve.serving.registry import Registry
from segserve.serving.views import (
    ModelIndexEntry,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    ServerMetadata,
)

EXTENSIONS = (
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)


@dataclass(frozen=True)
class ServerIdentity:
    """Name and version as the server tells them."""

    name: str
    version: str
    strict_readiness: bool


class Engine:
    """Answers requests and questions about models; knows no protocol."""

    def __init__(
        self,
        identity: ServerIdentity,
        registry: Registry,
        control: ModelControl,
        admission: Admission,
        tracer: Tracer,
    ) -> None:
        self._identity = identity
        self._registry = registry
        self._control = control
        self._admission = admission
        self._accounts = Accounts(tracer)
        self._tracer = tracer
        self._draining = False
        self._stopped = False

    # --- requests

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer tensors, or encoded images in place of the model's image tensor.

        Raises
        ------
        ServiceError
            Always of a kind; nothing else but ``asyncio.CancelledError`` leaves this method.
        """
        self._check_running()
        with self._registry.acquire(request.model) as served:
            work = Work(served, request.id, request.trace, request.deadline)
            running = self._run(partial(served.infer_job, request), work)
            return await self._accounts.answer(work, running)

    async def segment(self, request: SegmentRequest) -> SegmentResponse:
        """Answer one image. Raises as `infer`."""
        self._check_running()
        with self._registry.acquire(request.model) as served:
            work = Work(served, request.id, request.trace, request.deadline)
            running = self._run(partial(served.segment_job, request), work)
            return await self._accounts.answer(work, running)

    async def _run(self, look: Callable[[], Job[Answer]], work: Work) -> Answer:
        """Look at a request, admit it, and run it."""
        job = look()
        with self._admission.permit(job.cost_bytes, bulk=job.bulk):
            return await job.start(work.stamps)

    def _check_running(self) -> None:
        if self._stopped:
            raise ShuttingDown(
                "Server is stopping, scheduler for model has stopped accepting new inference "
                "requests",
                retry_after_s=1.0,
            )

    def answer_encoded(
        self, answer: InferResponse | SegmentResponse, duration_s: float, size_bytes: int
    ) -> None:
        """Note that a transport built an answer's bytes; a model that has gone is passed over."""
        served = self._registry.find(answer.model)
        if served is not None:
            served.parts.metrics.encoded(duration_s, size_bytes)
        if self._tracer.enabled:
            self._tracer.phase_done(answer.trace, "encode", duration_s)

    # --- health

    def live(self) -> bool:
        """Whether the process works; true while draining."""
        return True

    def ready(self) -> bool:
        """Whether new traffic should come here.

        With strict readiness that takes every model that should be loaded: a version of it that
        serves while another loads, or has failed to, will do.
        """
        if self._draining or not self._control.started:
            return False
        if not self._identity.strict_readiness:
            return True
        return all(
            self._registry.ready_versions(entry.name)
            or (entry.state != ModelState.LOADING.value and not self._control.failed(entry.name))
            for entry in self._registry.index()
        )

    def accepting(self) -> bool:
        """Whether every model has been loaded, or tried, and no stop was asked for."""
        return self._control.started and not self._draining

    @property
    def draining(self) -> bool:
        """Whether the server is about to stop: it still serves, but callers should go elsewhere."""
        return self._draining

    def model_ready(self, ref: ModelRef) -> bool:
        """Whether new traffic for a model version should come here; false for unknown ones."""
        if self._draining:
            return False
        ready = self._registry.ready_versions(ref.name)
        return bool(ready) if ref.version is None else ref.version in ready

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` whenever readiness may have changed; gives the way to stop that."""
        return self._registry.subscribe(callback)

    def begin_drain(self) -> None:
        """Stop being ready; requests that come are still served."""
        self._draining = True
        self._registry.changed()

    async def stop(self) -> None:
        """Refuse what comes from now on, and unload all models once their requests have ended."""
        self._draining = self._stopped = True
        await self._control.close()
        await self._registry.close()
        await asyncio.to_thread(self._tracer.close)

    # --- models

    def server_metadata(self) -> ServerMetadata:
        """Name, version and extensions."""
        return ServerMetadata(self._identity.name, self._identity.version, EXTENSIONS)

    def model_metadata(self, ref: ModelRef) -> ModelMetadata:
        """Tensors and versions of a ready model. Raises NotFound, NotReady."""
        parts = self._registry.get(ref).parts
        batched = parts.config.max_batch_size > 0
        return ModelMetadata(
            name=ref.name,
            versions=tuple(str(n) for n in self._registry.ready_versions(ref.name)),
            platform=parts.config.platform or parts.config.backend,
            inputs=tuple(_full(spec, batched=batched) for spec in parts.inputs),
            outputs=tuple(_full(spec, batched=batched) for spec in parts.outputs),
        )

    def model_config(self, ref: ModelRef) -> ModelConfig:
        """Give the auto-completed config of a ready model. Raises NotFound, NotReady."""
        return self._registry.get(ref).parts.config

    def model_statistics(self, ref: ModelRef | None) -> tuple[ModelStatistics, ...]:
        """Give the statistics of one version, of all of a model, or (None) of everything ready.

        Raises
        ------
        NotFound, NotReady
            When a named model or version is not there.
        """
        if ref is not None:
            self._registry.get(ref)
        names = self._registry.names() if ref is None else (ref.name,)
        return tuple(
            served.parts.meter.view(name, str(version))
            for name in names
            for version, served in self._registry.ready_versions(name).items()
            if ref is None or ref.version in (None, version)
        )

    def segmentation_info(self, ref: ModelRef) -> Mapping[str, object]:
        """Give what is known of a model's images, labels and masks, ready for JSON."""
        parts = self._registry.get(ref).parts
        family = None if parts.family is None else dict(parts.family.describe())
        return {
            "name": ref.name,
            "version": str(parts.ref.version),
            "digest": parts.digest,
            "labels": list(parts.labels),
            "family": family,
            "answer_to_images": None if family is None else answer_tensors(str(family["kind"])),
        }

    def label_names(self, ref: ModelRef) -> tuple[str, ...]:
        """Give the label names of a ready model: entry n is label n."""
        return self._registry.get(ref).parts.labels

    def repository_index(self, *, ready_only: bool) -> tuple[ModelIndexEntry, ...]:
        """Give the repository's models and their states."""
        rows = self._registry.index()
        return tuple(r for r in rows if not ready_only or r.state == ModelState.READY.value)

    async def load_model(
        self,
        name: str,
        *,
        config_json: str | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Load or reload a model in control mode explicit.

        Raises
        ------
        Unavailable
            In another control mode.
        LoadFailed, NotFound
            When it cannot be loaded; what served before goes on serving.
        """
        if config_json is None and files:
            raise InvalidInput(
                f"failed to load '{name}', override model directory requires override model "
                f"config: send the `config` parameter beside the `file:` ones"
            )
        await self._control.load(name, config_json=config_json, files=files or {})

    async def unload_model(self, name: str, *, unload_dependents: bool = False) -> None:
        """Unload a model in control mode explicit, once its requests have ended.

        `unload_dependents` is accepted for Triton's clients; no model depends on another here.
        """
        del unload_dependents
        await self._control.unload(name)


def _full(spec: TensorSpec, *, batched: bool) -> TensorSpec:
    return TensorSpec(spec.name, spec.dtype, spec.full_shape(batched=batched), spec.optional)
