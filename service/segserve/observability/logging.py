"""Log lines: one JSON object each (or Triton's plain looks), on stderr.

A log call names an event and gives its fields: ``log.info("model_ready", extra={"model": "m"})``.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

from pythonjsonlogger.json import JsonFormatter
from typing_extensions import override

_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _PlainFormatter(logging.Formatter):
    """``I1121 06:14:04.123456 event field=value``, or an ISO 8601 time in front."""

    def __init__(self, *, iso: bool) -> None:
        super().__init__()
        self._iso = iso

    @override
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        stamp = when.isoformat() if self._iso else when.strftime("%m%d %H:%M:%S.%f")
        fields = (f"{k}={_one_line(v)}" for k, v in record.__dict__.items() if k not in _FIELDS)
        line = f"{record.levelname[0]}{stamp} {record.getMessage()} {' '.join(fields)}".rstrip()
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def _one_line(value: object) -> str:
    """Write a field so that nothing in it looks like another line: callers choose some of them."""
    return str(value).replace("\n", "\\n").replace("\r", "\\r")


def setup_logging(log_format: str, *, verbose: bool) -> None:
    """Send the root logger to stderr.

    Parameters
    ----------
    log_format : {"json", "default", "ISO8601"}
    verbose : bool
        Every request too, not events alone.
    """
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(
            JsonFormatter(
                "%(message)s %(levelname)s %(name)s",
                rename_fields={"message": "event", "levelname": "level", "name": "logger"},
                timestamp="time",
            )
        )
    else:
        handler.setFormatter(_PlainFormatter(iso=log_format == "ISO8601"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("segserve").setLevel(logging.DEBUG if verbose else logging.INFO)
