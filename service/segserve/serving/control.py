"""Which models should be loaded, and making it so: at start, by polling, or on request."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from segserve.core.errors import InvalidInput, LoadFailed, NotFound, ServiceError, Unavailable
from segserve.execution.heap import trim_heap
from segserve.repository.store import LoadPlan, RepositorySnapshot, RepositoryStore
from segserve.serving.loader import Loader
from segserve.serving.registry import Registry

log = logging.getLogger(__name__)
_GONE = ""  # in place of a fingerprint: the model is not there


@dataclass(frozen=True)
class ControlPolicy:
    """Who decides what is loaded.

    Parameters
    ----------
    mode : {"none", "poll", "explicit"}
    poll_s : float
        Seconds between two looks at the repository in mode poll.
    load_at_start : tuple of str
        In mode explicit: models to load at start; ``*`` for all.
    load_threads : int
        Models loaded at the same time.
    """

    mode: str
    poll_s: float
    load_at_start: tuple[str, ...]
    load_threads: int


class ModelControl:
    """Loads, replaces and unloads models; one change of one model at a time."""

    def __init__(
        self, policy: ControlPolicy, store: RepositoryStore, loader: Loader, registry: Registry
    ) -> None:
        self._policy = policy
        self._store = store
        self._loader = loader
        self._registry = registry
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(policy.load_threads)
        self._failed: dict[str, str] = {}
        self._seen: Mapping[str, str] = {}
        self._poller: asyncio.Task[None] | None = None
        self.started = False
        registry.listed(known=False)

    async def start(self) -> tuple[str, ...]:
        """Load what should be there from the start.

        Returns
        -------
        tuple of str
            The models that failed; why is in the log and in the repository index.
        """
        seen = await self._look()
        self._seen = _fingerprints(seen)
        names = tuple(seen.models)
        everything = self._wants_everything()
        for name, reason in seen.refused.items():
            if everything:
                self._note_failure(name, reason)
            else:  # nobody asked for it
                log.warning("model_refused", extra={"model": name, "error": reason})
        for name in names:
            self._registry.known(name)
        loads = [asyncio.create_task(self._load_quietly(name)) for name in self._wanted(names)]
        await asyncio.sleep(0)  # each load has begun, and its model is awaited
        self._registry.listed(known=True)
        await asyncio.gather(*loads)
        if self._policy.mode == "poll":
            self._poller = asyncio.create_task(self._poll())
        gc.collect()
        gc.enable()
        gc.freeze()  # what serves from now on is not looked at again by every collection
        trim_heap()
        self.started = True
        self._registry.changed()
        return tuple(self._failed)

    def _wanted(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(names) if self._wants_everything() else self._policy.load_at_start

    def _wants_everything(self) -> bool:
        return self._policy.mode != "explicit" or "*" in self._policy.load_at_start

    def failed(self, name: str) -> bool:
        """Whether the last load of a model failed."""
        return name in self._failed

    # --- on request

    async def load(self, name: str, *, config_json: str | None, files: Mapping[str, bytes]) -> None:
        """Load or reload a model because somebody asked.

        Raises
        ------
        Unavailable
            When the control mode is not explicit.
        InvalidInput
            When the name can be no model's.
        NotFound, LoadFailed
            When it cannot be loaded; what served before goes on serving.
        """
        self._check_explicit()
        try:
            await self._load(name, config_json=config_json, files=files)
        except LoadFailed as error:
            begin = f"failed to load '{name}'"
            if error.message.startswith(begin):
                raise
            raise LoadFailed(f"{begin}, no version is available: {error.message}") from error

    async def unload(self, name: str) -> None:
        """Unload all versions of a model once their requests have ended.

        Raises
        ------
        Unavailable
            When the control mode is not explicit.
        NotFound
            When there is no such model.
        """
        self._check_explicit()
        if name not in self._registry.names():
            raise NotFound(f"failed to unload '{name}': no such model")
        await self._unload(name)

    def _check_explicit(self) -> None:
        if self._policy.mode != "explicit":
            raise Unavailable(
                "explicit model load / unload is not allowed if polling is enabled: start the "
                "server with --model-control-mode=explicit"
            )

    # --- doing it

    def _lock(self, name: str) -> asyncio.Lock:
        """Give what one change of a model at a time holds; it lasts as long as somebody has it."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def _load_quietly(self, name: str) -> None:
        try:
            await self._load(name, config_json=None, files={})
        except (NotFound, InvalidInput) as error:
            self._note_failure(name, error.message)
        except ServiceError:
            return  # noted and logged by _note_failure; the index and readiness show it

    async def _load(
        self, name: str, *, config_json: str | None, files: Mapping[str, bytes]
    ) -> None:
        with self._registry.awaiting(name):
            await self._load_next(name, config_json, files)

    async def _load_next(
        self, name: str, config_json: str | None, files: Mapping[str, bytes]
    ) -> None:
        async with self._lock(name), self._slots:
            try:
                plan = await self._plan(name, config_json, files)
                await self._load_versions(plan)
            except (NotFound, InvalidInput):
                raise  # nothing there to have failed, or nothing that could be
            except ServiceError as error:
                self._note_failure(name, error.message)
                raise
            self._failed.pop(name, None)
            self._registry.loaded(name)

    async def _plan(
        self, name: str, config_json: str | None, files: Mapping[str, bytes]
    ) -> LoadPlan:
        """Read what a load means; what nobody foresaw fails this model alone."""
        try:
            plan = partial(self._store.plan, name, config_json=config_json, files=files)
            return await self._loader.threads.run(name, plan)
        except ServiceError:
            raise
        except Exception as error:
            log.exception("model_load_crashed", extra={"model": name})
            raise LoadFailed(f"reading model '{name}' failed: {error!r}") from error

    async def _load_versions(self, plan: LoadPlan) -> None:
        serving = self._registry.ready_versions(plan.name)
        for version in plan.versions:
            current = serving.get(version.version)
            if current is not None and current.parts.digest == version.digest:
                continue
            self._registry.loading(plan.name, version.version)
            try:
                served = await self._loader.load(plan, version)
            except ServiceError as error:
                self._registry.failed(plan.name, version.version, error.message)
                raise
            self._registry.publish(served)
            fields = {"model": plan.name, "version": version.version, "digest": version.digest}
            log.info("model_ready", extra=fields)
        chosen = {version.version for version in plan.versions}
        for version_number in set(serving) - chosen:
            await self._registry.remove(plan.name, version_number)

    async def _unload(self, name: str) -> None:
        async with self._lock(name):
            for version in self._registry.versions(name):
                await self._registry.remove(name, version)
            self._failed.pop(name, None)
            self._registry.changed()
        trim_heap()
        log.info("model_unloaded", extra={"model": name})

    def _note_failure(self, name: str, reason: str) -> None:
        self._failed[name] = reason
        self._registry.failed(name, None, reason)
        log.error("model_load_failed", extra={"model": name, "error": reason})

    # --- polling

    async def _poll(self) -> None:
        """Follow the repository; a model counts as changed once two looks agree on it."""
        pending: dict[str, str] = {}
        while True:
            await asyncio.sleep(self._policy.poll_s)
            try:
                pending = await self._poll_once(pending)
            except ServiceError as error:
                log.exception("repository_poll_failed", extra={"error": error.message})
            except OSError as error:
                log.exception("repository_poll_failed", extra={"error": str(error)})

    async def _poll_once(self, pending: dict[str, str]) -> dict[str, str]:
        """Act on what this look and the one before agree on; gives what is new in this one."""
        now = _fingerprints(await self._look())
        before = self._seen
        changed = {n: f for n, f in now.items() if before.get(n) != f}
        changed |= {name: _GONE for name in before if name not in now}
        settled = {n: f for n, f in changed.items() if pending.get(n) == f}
        after = {n: f for n, f in {**before, **settled}.items() if f != _GONE}
        self._seen = after
        for name in [n for n, f in settled.items() if f == _GONE]:
            await self._unload(name)
            self._registry.forget(name)
        await asyncio.gather(*(self._load_quietly(n) for n in settled if n in after))
        return {n: f for n, f in changed.items() if n not in settled}

    async def _look(self) -> RepositorySnapshot:
        return await self._loader.threads.run("the repository", self._store.snapshot)

    async def wait_loads(self, timeout_s: float) -> tuple[str, ...]:
        """Wait for the threads of loads whose callers have gone; name the models that hang."""
        return await self._loader.threads.wait_ended(timeout_s)

    async def close(self) -> None:
        """Stop polling and compiling, and remove what load requests brought."""
        self._loader.close()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        await asyncio.to_thread(self._store.close)


def _fingerprints(snapshot: RepositorySnapshot) -> Mapping[str, str]:
    """Give what a change of is followed: models, and folders that no model can be called by."""
    refused = {name: f"refused: {reason}" for name, reason in snapshot.refused.items()}
    return {**snapshot.models, **refused}
