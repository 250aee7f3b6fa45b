"""Which versions of which models are there, in which state, and who is using them.

A request holds a lease on the version that it runs on. Replacing or unloading a version takes it
out of sight first and waits, bounded, until the last lease is given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from segserve.core.errors import NotFound, NotReady, ServiceError
from segserve.core.messages import ModelRef
from segserve.serving.served_model import ServedModel
from segserve.serving.views import ModelIndexEntry, ModelState

log = logging.getLogger(__name__)
_NO_VERSIONS, _UNLOADED = "has no available versions", "unloaded"
_COME_BACK_S = 1.0  # what callers of a model that is being loaded are told


@dataclass
class _Loaded:
    """A served model and the leases on it: each is a ``with``."""

    served: ServedModel
    leases: int = 0
    idle: asyncio.Event | None = None

    def __enter__(self) -> ServedModel:
        self.leases += 1
        return self.served

    def __exit__(self, *_how: object) -> None:
        self.leases -= 1
        if self.leases == 0 and self.idle is not None:
            self.idle.set()

    async def wait_idle(self, timeout_s: float) -> bool:
        if self.leases == 0:
            return True
        self.idle = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await self.idle.wait()
        except TimeoutError:
            return False
        return True


@dataclass
class _Version:
    state: ModelState
    reason: str = ""
    loaded: _Loaded | None = None


class Registry:
    """All model versions by name; lives on the event loop.

    Parameters
    ----------
    drain_timeout_s : float
        How long a replaced or unloaded version waits for its requests to end.
    """

    def __init__(self, drain_timeout_s: float) -> None:
        self._models: dict[str, dict[int, _Version]] = {}
        self._unversioned: dict[str, str] = {}
        self._awaited: Counter[str] = Counter()
        self._listed = True
        self._drain_timeout_s = drain_timeout_s
        self._retiring: set[asyncio.Task[None]] = set()
        self._subscribers: list[Callable[[], None]] = []

    # --- looking things up

    def acquire(self, ref: ModelRef) -> AbstractContextManager[ServedModel]:
        """Lease a ready version for the length of one request.

        Raises
        ------
        NotFound
            When there is no model, or no version of it, by that name.
        NotReady
            When it is there but not ready; with a hint when to come back if it is being loaded.
        """
        return self._ready(ref)

    def get(self, ref: ModelRef) -> ServedModel:
        """Give a ready version without a lease: for metadata only. Raises as `acquire`."""
        return self._ready(ref).served

    def _ready(self, ref: ModelRef) -> _Loaded:
        versions = self._models.get(ref.name)
        if versions is None:
            reason = self._unversioned.get(ref.name)
            if reason is None and self._listed:
                raise NotFound(f"Request for unknown model: '{ref.name}' is not found")
            named = ref.version is not None
            text = f"version {ref.version} is not at ready state" if named else _NO_VERSIONS
            raise self._not_ready(ref, text)
        if ref.version is None:
            ready = [n for n, v in versions.items() if v.loaded and v.state is ModelState.READY]
            if not ready:
                raise self._not_ready(ref, _NO_VERSIONS)
            wanted = max(ready)
        else:
            wanted = ref.version
        version = versions.get(wanted)
        if version is None:
            raise NotFound(
                f"Request for unknown model: '{ref.name}' version {wanted} is not found; "
                f"versions are {sorted(versions)}"
            )
        if version.loaded is None or version.state is not ModelState.READY:
            raise self._not_ready(ref, f"version {wanted} is not at ready state")
        return version.loaded

    def _not_ready(self, ref: ModelRef, text: str) -> NotReady:
        message = f"Request for unknown model: '{ref.name}' {text}"
        if self._awaited[ref.name]:
            return NotReady(f"{message}: it is being loaded", retry_after_s=_COME_BACK_S)
        if not self._listed:
            return NotReady(f"{message}: the server is starting", retry_after_s=_COME_BACK_S)
        reason = self._why_failed(ref)
        return NotReady(f"{message}: {reason}" if reason else message)

    def _why_failed(self, ref: ModelRef) -> str:
        """Say why a model's last load failed, where that is why it is not there."""
        versions = self._models.get(ref.name, {})
        asked = [v for n, v in sorted(versions.items()) if ref.version in (None, n)]
        reasons = [v.reason for v in asked if v.state is ModelState.UNAVAILABLE]
        told = [r for r in (self._unversioned.get(ref.name, ""), *reasons) if r]
        return told[-1] if told and told[-1] != _UNLOADED else ""

    def find(self, ref: ModelRef) -> ServedModel | None:
        """Give a ready version, None when it is not there: for those who must not fail."""
        version = self._models.get(ref.name, {}).get(ref.version or 0)
        return version.loaded.served if version is not None and version.loaded else None

    def ready_versions(self, name: str) -> dict[int, ServedModel]:
        """Give the ready versions of a model, none for an unknown name."""
        versions = self._models.get(name, {})
        return {
            n: v.loaded.served
            for n, v in sorted(versions.items())
            if v.loaded is not None and v.state is ModelState.READY
        }

    def versions(self, name: str) -> tuple[int, ...]:
        """Give every version of a model that was ever told of, in whatever state."""
        return tuple(sorted(self._models.get(name, {})))

    def names(self) -> tuple[str, ...]:
        """Every model that was ever told of, in order."""
        return tuple(sorted({*self._models, *self._unversioned}))

    def index(self) -> tuple[ModelIndexEntry, ...]:
        """Give one row per version, and one for a model of which no version is there."""
        rows = []
        for name in self.names():
            versions = self._models.get(name, {})
            rows += [
                ModelIndexEntry(name, str(n), v.state.value, v.reason)
                for n, v in sorted(versions.items())
            ]
            if not versions:
                reason = self._unversioned.get(name, "")
                state = ModelState.UNAVAILABLE.value if reason else ""
                rows.append(ModelIndexEntry(name, "", state, reason))
        return tuple(rows)

    # --- changing things

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every change; gives the way to stop that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def changed(self) -> None:
        """Tell the subscribers that something about readiness is different."""
        for callback in tuple(self._subscribers):
            callback()

    def listed(self, *, known: bool) -> None:
        """Note whether all models of the repository are known: until then none is missing."""
        self._listed = known

    @contextmanager
    def awaiting(self, name: str) -> Iterator[None]:
        """Tell callers of a model, as long as none of it serves, that it will."""
        self._awaited[name] += 1
        try:
            yield
        finally:
            self._awaited[name] -= 1
            if not self._awaited[name]:
                del self._awaited[name]

    def known(self, name: str) -> None:
        """Note a model that lies in the repository and is not loaded."""
        if name not in self._models:
            self._unversioned.setdefault(name, "")

    def forget(self, name: str) -> None:
        """Drop a model that no longer lies in the repository and is not loaded."""
        self._unversioned.pop(name, None)
        if all(version.loaded is None for version in self._models.get(name, {}).values()):
            self._models.pop(name, None)
        self.changed()

    def loaded(self, name: str) -> None:
        """Note that a load was good: why one before it failed is no longer of interest."""
        for row in self._serving(name):
            row.reason = ""
        self.changed()

    def failed(self, name: str, version: int | None, reason: str) -> None:
        """Note a failed load; versions that were serving before go on, and tell the reason."""
        if version is None:
            if name not in self._models:
                self._unversioned[name] = reason
            for row in self._serving(name) or self._models.get(name, {}).values():
                row.reason = reason
        else:
            entry = self._entry(name, version)
            if entry.loaded is None:
                entry.state = ModelState.UNAVAILABLE
            entry.reason = reason
        self.changed()

    def _serving(self, name: str) -> list[_Version]:
        return [row for row in self._models.get(name, {}).values() if row.loaded is not None]

    def loading(self, name: str, version: int) -> None:
        """Note that a version is being loaded, unless an older one of its number is serving."""
        entry = self._entry(name, version)
        if entry.loaded is None:
            entry.state, entry.reason = ModelState.LOADING, ""
            self.changed()

    def _entry(self, name: str, version: int) -> _Version:
        self._unversioned.pop(name, None)
        versions = self._models.setdefault(name, {})
        return versions.setdefault(version, _Version(ModelState.LOADING))

    def publish(self, served: ServedModel) -> None:
        """Put a warmed model in place; what it replaces ends its requests and is closed."""
        ref = served.parts.ref
        entry = self._entry(ref.name, ref.version or 0)
        old, entry.loaded = entry.loaded, _Loaded(served)
        entry.state, entry.reason = ModelState.READY, ""
        if old is not None:
            self._retire_later(old)
        self.changed()

    def _retire_later(self, loaded: _Loaded) -> None:
        reason = NotReady(f"model {loaded.served.parts.ref.described()} was replaced")
        task = asyncio.create_task(self._retire(loaded, reason))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, loaded: _Loaded, reason: ServiceError) -> None:
        if not await loaded.wait_idle(self._drain_timeout_s):
            ref = loaded.served.parts.ref
            fields = {"model": ref.name, "version": ref.version, "requests": loaded.leases}
            log.warning("model_drain_timed_out", extra=fields)
        await loaded.served.close(reason, self._drain_timeout_s)

    async def remove(self, name: str, version: int) -> None:
        """Take a version out of sight, wait for its requests to end, and close it."""
        entry = self._models.get(name, {}).get(version)
        if entry is None:
            return
        loaded, entry.loaded = entry.loaded, None
        if loaded is not None:
            entry.state, entry.reason = ModelState.UNLOADING, ""
            self.changed()
            reason = NotReady(f"model {loaded.served.parts.ref.described()} was unloaded")
            await self._retire(loaded, reason)
        if entry.loaded is None:
            entry.state, entry.reason = ModelState.UNAVAILABLE, _UNLOADED
        self.changed()

    async def close(self) -> None:
        """Unload everything and wait for what is being retired."""
        await asyncio.gather(
            *(self.remove(n, v) for n, vs in tuple(self._models.items()) for v in tuple(vs)),
            *self._retiring,
        )
