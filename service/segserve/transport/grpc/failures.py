"""A failure as gRPC tells it: a status, a text, and trailers for programs.

``segserve-error-kind`` is the failure's kind, ``retry-after-ms`` and ``grpc-retry-pushback-ms`` say
when to try again.
"""

from __future__ import annotations

from segserve.core.errors import ErrorKind, ServiceError
from segserve.serving.accounting import failure_reason
from segserve.transport import refusals
from segserve.transport.grpc.methods import RpcFailed
from segserve.transport.status import message_of, status_of

EXHAUSTED = "RESOURCE_EXHAUSTED"
"""The status of what gRPC itself limits: the length of messages, and the calls that are held."""
_KIND = "segserve-error-kind"
RETRY_ELSEWHERE_S = 1.0
RETRY_SOON_S = 0.1


def tell(method: str, failure: RpcFailed) -> None:
    """Log the failure of a call that never became a request, unless the log has it."""
    if not failure.told:
        failure.told = True
        overloaded = (_KIND, ErrorKind.OVERLOADED.value) in failure.trailers
        kind = ErrorKind.OVERLOADED if overloaded else ErrorKind.INVALID_ARGUMENT
        refusals.tell_text(method, failure_reason(kind), failure.text)


def failed(error: ServiceError, status: str = "") -> RpcFailed:
    """Give the end of a call that failed; `status` where it is not the one of the error's kind."""
    trailers = [(_KIND, error.kind.value)]
    if error.retry_after_s is not None:
        wait_ms = str(max(1, round(error.retry_after_s * 1e3)))
        trailers += [("retry-after-ms", wait_ms), ("grpc-retry-pushback-ms", wait_ms)]
    return RpcFailed(status or status_of(error.kind).grpc, message_of(error), tuple(trailers))
