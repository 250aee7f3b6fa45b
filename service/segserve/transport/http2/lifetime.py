"""How long a connection is kept: its first bytes, its silence, its age."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

_AGE_SPREAD = 0.1


@dataclass(frozen=True)
class LifetimeLimits:
    """When a connection is looked at, or ended.

    Parameters
    ----------
    handshake_s : float
        For HTTP/2's first bytes.
    keepalive_s, keepalive_timeout_s : float
        After so long without a byte the peer is pinged, and cut when it then stays silent.
    max_age_s : float or None
        Then the peer is told to connect anew; give or take a tenth, so that not all come at once.
    max_age_grace_s : float or None
        For its calls to end after that.
    """

    handshake_s: float = 20.0
    keepalive_s: float = 7200.0
    keepalive_timeout_s: float = 20.0
    max_age_s: float | None = None
    max_age_grace_s: float | None = None


@dataclass(frozen=True)
class LifetimeActions:
    """What may be done to the connection."""

    ping: Callable[[], None]
    retire: Callable[[], None]
    cut: Callable[[str], None]


class Lifetime:
    """The timers of one connection; `heard` is called for every read."""

    def __init__(self, limits: LifetimeLimits, actions: LifetimeActions) -> None:
        self._limits = limits
        self._actions = actions
        self._loop = asyncio.get_running_loop()
        self._heard = False
        self._silence = self._loop.call_later(limits.handshake_s, self._no_handshake)
        self._age: asyncio.TimerHandle | None = None
        if limits.max_age_s is not None:
            spread = 1 + random.uniform(-_AGE_SPREAD, _AGE_SPREAD)  # noqa: S311  no secret
            self._age = self._loop.call_later(limits.max_age_s * spread, self._old)

    def shaken(self) -> None:
        """HTTP/2's first bytes are there."""
        self._silence.cancel()
        self._silence = self._loop.call_later(self._limits.keepalive_s, self._silent)

    def heard(self) -> None:
        """Bytes have come."""
        self._heard = True

    def end(self) -> None:
        """Stop the timers."""
        self._silence.cancel()
        if self._age is not None:
            self._age.cancel()

    def _no_handshake(self) -> None:
        self._actions.cut("no HTTP/2 preface")

    def _silent(self) -> None:
        if self._heard:
            self._heard = False
            self._silence = self._loop.call_later(self._limits.keepalive_s, self._silent)
            return
        self._actions.ping()
        self._silence = self._loop.call_later(self._limits.keepalive_timeout_s, self._unanswered)

    def _unanswered(self) -> None:
        if self._heard:
            self._silent()
        else:
            self._actions.cut("keepalive ping not answered")

    def _old(self) -> None:
        self._actions.retire()
        if self._limits.max_age_grace_s is not None:
            self._age = self._loop.call_later(self._limits.max_age_grace_s, self._too_old)

    def _too_old(self) -> None:
        self._actions.cut("older than allowed")
