"""Calls that failed before their model was found: logged here, at the border that answers them.

Requests of a model are logged, counted and traced by the engine, which marks their errors as told.
"""

from __future__ import annotations

import logging

from segserve.core.errors import ErrorKind, LoadFailed, ServiceError
from segserve.serving.accounting import failure_reason
from segserve.transport.status import message_of

log = logging.getLogger(__name__)


def tell(method: str, error: ServiceError) -> None:
    """Log the failure of a call, unless the log has it, or nobody was there to be answered.

    Parameters
    ----------
    method : str
        What was called: an rpc's full name, or an HTTP method and path.
    """
    known = error.told or isinstance(error, LoadFailed)  # the control of models logs those
    if known or error.kind is ErrorKind.CANCELLED:
        return
    error.told = True
    tell_text(method, failure_reason(error.kind), message_of(error), error.request_id)


def tell_text(method: str, reason: str, text: str, request_id: str = "") -> None:
    """Log the failure of a call whose message was not read, or is no request.

    Parameters
    ----------
    reason : str
        As for `segserve.serving.accounting.failure_reason`.
    """
    fields = {"request_id": request_id or "<id_unknown>", "method": method}
    log.warning("request_failed", extra={**fields, "reason": reason, "error": text})
