"""Every ending of a request is counted once and is of a kind."""

import asyncio
from types import SimpleNamespace

import pytest

from segserve.core.deadline import NO_DEADLINE, Deadline
from segserve.core.errors import BackendFailed, DeadlineExceeded, Overloaded
from segserve.core.messages import NO_TRACE, InferResponse, ModelRef, TraceContext
from segserve.observability.metrics import Metrics
from segserve.observability.tracing import NoTracer
from segserve.serving.accounting import Accounts, Work
from segserve.serving.statistics import ModelMeter


@pytest.fixture
def parts():
    metrics = Metrics()
    return SimpleNamespace(
        ref=ModelRef("m", 1),
        meter=ModelMeter(),
        metrics=metrics.model("m", "1", {}),
        all=metrics,
    )


def work(parts, deadline=NO_DEADLINE):
    return Work(SimpleNamespace(parts=parts), "r1", NO_TRACE, deadline)


def failures(parts):
    lines = parts.all.counters.render().splitlines()
    return [
        line
        for line in lines
        if line.startswith("nv_inference_request_failure{") and line[-2:] != " 0"
    ]


async def ending(value=None, error=None, delay_s=0.0):
    await asyncio.sleep(delay_s)
    if error is not None:
        raise error
    return value


async def test_an_answer(parts):
    answer = InferResponse(ModelRef("m", 1), {})
    assert await Accounts(NoTracer()).answer(work(parts), ending(answer)) is answer
    assert parts.meter.view("m", "1").inference_stats.success.count == 1
    assert failures(parts) == []


@pytest.mark.parametrize(
    ("error", "raised", "reason"),
    [
        (Overloaded("full"), Overloaded, "REJECTED"),
        (BackendFailed("no"), BackendFailed, "BACKEND"),
        (KeyError("bug"), BackendFailed, "BACKEND"),
    ],
)
async def test_failures_by_reason(parts, error, raised, reason):
    with pytest.raises(raised) as caught:
        await Accounts(NoTracer()).answer(work(parts), ending(error=error))
    assert caught.value.told
    words = {"REJECTED": "[request id: r1] full", "BACKEND": caught.value.message}
    assert caught.value.message == words[reason]
    assert len(failures(parts)) == 1
    assert f'reason="{reason}"' in failures(parts)[0]
    assert parts.meter.view("m", "1").inference_stats.fail.count == 1


async def test_the_callers_deadline_ends_the_wait(parts):
    late = work(parts, Deadline.after(0.02))
    with pytest.raises(DeadlineExceeded):
        await Accounts(NoTracer()).answer(late, ending(delay_s=5))
    assert 'reason="OTHER"' in failures(parts)[0]


@pytest.mark.parametrize(
    ("elapsed_s", "left_s", "reason"),
    [
        (0, None, "CANCELED"),
        (0.5, 5.0, "CANCELED"),
        (1.0, 0.03, "OTHER"),  # the caller's clock started earlier
        (40.0, 0.35, "OTHER"),  # its time was written in steps
        (40.0, 0.5, "CANCELED"),
    ],
)
async def test_a_cancelled_caller_is_counted_and_stays_cancelled(parts, elapsed_s, left_s, reason):
    one = work(parts, Deadline.after(left_s))
    one.start_s -= elapsed_s
    task = asyncio.create_task(Accounts(NoTracer()).answer(one, ending(delay_s=5)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert f'reason="{reason}"' in failures(parts)[0]


async def test_spans_are_told_with_the_parent(parts):
    told = []

    class Tracer(NoTracer):
        enabled = True

        def request_done(self, trace, attributes, stamps, error):
            told.append((trace.parent, attributes["model"], [p[0] for p in stamps.phases], error))
            return TraceContext("own")

    one = Work(SimpleNamespace(parts=parts), "r1", TraceContext("00-a-b-01"), NO_DEADLINE)
    one.stamps.ended_now("infer", 0.01)
    answer = await Accounts(Tracer()).answer(one, ending(InferResponse(ModelRef("m", 1), {})))
    assert answer.trace.parent == "own"
    assert told == [("00-a-b-01", "m", ["request", "infer"], "")]
