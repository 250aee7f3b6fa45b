"""The last step of an image's request: masks from the network's outputs, refined or not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

from segserve.core.deadline import Deadline
from segserve.core.errors import DeadlineExceeded
from segserve.core.messages import SegmentRequest
from segserve.core.tensor import Tensors
from segserve.execution.cpu_pool import Priority
from segserve.families.family import Family, Findings, Plan
from segserve.families.refinement import Refines
from segserve.observability.metrics import ModelMetrics
from segserve.serving.cpu_side import CpuSide
from segserve.serving.image_steps import finish_image


@dataclass(frozen=True)
class Finisher:
    """Where a model's answers are finished.

    Parameters
    ----------
    family : Family
    cpu : CpuSide
    metrics : ModelMetrics
    """

    family: Family
    cpu: CpuSide
    metrics: ModelMetrics

    @cached_property
    def _refines(self) -> Refines | None:
        return self.family if isinstance(self.family, Refines) else None

    def unrefined(
        self, request: SegmentRequest, plan: Plan
    ) -> Callable[[Tensors], tuple[Findings, float]] | None:
        """Give the whole last step as blocking work on the outputs; None where it refines."""
        if self.refines(request):
            return None
        return partial(finish_image, self.family, plan, request.options)

    def refines(self, request: SegmentRequest) -> bool:
        """Whether the answer to `request` is to be refined."""
        return self._budget_s(request) is not None

    def _budget_s(self, request: SegmentRequest) -> float | None:
        return None if self._refines is None else self._refines.refine_budget_s(request.options)

    async def finish(
        self, request: SegmentRequest, outputs: Tensors, plan: Plan, *, bulk: bool = False
    ) -> tuple[Findings, float]:
        """Give what was found, and the seconds that took.

        A refinement that was wanted, but did not fit or did not end in its budget, leaves the
        unrefined map, flagged ``refined=False``. `bulk` work goes behind interactive requests'.

        Raises
        ------
        DeadlineExceeded
            When the caller's deadline passed before the unrefined work began.
        """
        family, budget_s = self._refines, self._budget_s(request)
        start_s = time.perf_counter()
        if budget_s is not None and family is not None:
            plain = partial(self.family.postprocess, outputs, plan, request.options)
            work = _Refining(family, request, outputs, plan, plain)
            found = await self._refined(work, budget_s, bulk=bulk)
            if found is None and not request.deadline.passed():
                found = work.unrefined
            if found is not None:
                return found, time.perf_counter() - start_s
        work_unrefined = partial(finish_image, self.family, plan, request.options, outputs)
        findings, post_s = await self.cpu.pool.run(
            work_unrefined, priority=Priority.POST, bulk=bulk, deadline=request.deadline
        )
        if budget_s is None:
            return findings, post_s
        return replace(findings, refined=False), time.perf_counter() - start_s

    async def _refined(self, work: _Refining, budget_s: float, *, bulk: bool) -> Findings | None:
        """Refine; None where it did not fit or did not end in its budget."""
        deadline = Deadline.after(budget_s).sooner(work.request.deadline)
        try:
            cost_bytes = await self.cpu.aside.run(
                work.cost_bytes, priority=Priority.POST, bulk=bulk, deadline=deadline
            )
        except DeadlineExceeded:
            self.metrics.refine_skipped("budget")
            return None
        return await self.cpu.refinements.run(
            work, cost_bytes=cost_bytes, deadline=deadline, metrics=self.metrics, bulk=bulk
        )


class _Refining:
    """The blocking work of one refinement.

    It makes the unrefined map first, which takes a fiftieth of the time: so that is there when the
    budget is over, and nobody waits for a core that the models use.
    """

    def __init__(
        self,
        family: Refines,
        request: SegmentRequest,
        outputs: Tensors,
        plan: Plan,
        plain: Callable[[], Findings],
    ) -> None:
        self.request = request
        self.unrefined: Findings | None = None
        self._family = family
        self._outputs = outputs
        self._plan = plan
        self._plain = plain

    def cost_bytes(self) -> int:
        """Give the working memory that it will need."""
        return self._family.refine_bytes(self._outputs, self._plan, self.request.options)

    def __call__(self, stop: Callable[[], bool]) -> Findings:
        self.unrefined = replace(self._plain(), refined=False)
        image, options = self.request.image, self.request.options
        return self._family.refine(image, self._outputs, self._plan, options, stop=stop)
