"""The model repository: what is there (`snapshot`), and what a load of one model means (`plan`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from segserve.core.errors import InvalidInput, LoadFailed, NotFound
from segserve.repository.fingerprint import fingerprint
from segserve.repository.layout import (
    ModelDirectory,
    Scan,
    open_directory,
    scan_repository,
    single_model,
)
from segserve.repository.load_plan import LoadPlan, VersionFiles, make_plan
from segserve.repository.names import INCOMPLETE_MARKER, is_model_name
from segserve.repository.staging import StagedFiles

__all__ = ["LoadPlan", "RepositorySnapshot", "RepositoryStore", "VersionFiles"]

NO_FILES: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True)
class RepositorySnapshot:
    """What one look found.

    Parameters
    ----------
    models : Mapping of str to str
        Fingerprint by name; two looks that agree mean that the model is not being written. A model
        that cannot be planned has one too, so that `RepositoryStore.plan` says why and what served
        before goes on serving; one that is marked as being written keeps its last one.
    refused : Mapping of str to str
        Folders that can have no model's name, with the reason.
    skipped : Mapping of str to str
        Folders that hold no model, or none yet, with the reason.
    """

    models: Mapping[str, str]
    refused: Mapping[str, str]
    skipped: Mapping[str, str] = field(default_factory=dict)


class RepositoryStore:
    """One or more roots on disk.

    Parameters
    ----------
    roots : iterable of Path
        Folders of models; with `model_name` also a model's own folder or file.
    model_name : str, optional
        Serve a root that is itself one model by this name.
    """

    def __init__(self, roots: Iterable[Path], *, model_name: str | None = None) -> None:
        self._roots = tuple(roots)
        self._model_name = model_name
        self._staged = StagedFiles()
        self._seen: Mapping[str, str] = {}

    def names(self) -> tuple[str, ...]:
        """Give the names of all models that are there, whether or not they can be served."""
        scan = self._scan()
        return tuple(sorted({*scan.models, *scan.refused}))

    def snapshot(self) -> RepositorySnapshot:
        """Look at all roots.

        Raises
        ------
        LoadFailed
            When a root is not there, or is no repository.
        """
        scan = self._scan()
        models = {name: _fingerprint(found) for name, found in scan.models.items()}
        refused = {}
        for name, reason in scan.refused.items():
            if is_model_name(name):
                models[name] = f"refused: {reason}"
            else:
                refused[name] = reason
        for name in scan.skipped:
            if name in self._seen and name not in models:
                models[name] = self._seen[name]
        self._seen = models
        return RepositorySnapshot(dict(sorted(models.items())), refused, scan.skipped)

    def plan(
        self, name: str, *, config_json: str | None = None, files: Mapping[str, bytes] = NO_FILES
    ) -> LoadPlan:
        """Decide what loading a model means; reads its config, its labels and, for the digest, all.

        Parameters
        ----------
        name : str
        config_json : str, optional
            Takes the place of ``config.pbtxt``.
        files : Mapping of str to bytes
            Take the place of all files of the model; Triton wants a config with them, so do we.

        Raises
        ------
        InvalidInput
            When the name can be no model's, a file's no path in a version's folder, or the
            request's config no JSON of one.
        NotFound
            When there is no such model, or it is marked as being written.
        LoadFailed
            When the config is wrong, a file is missing or may not be read, or a path leads outside
            the repository.
        """
        if not is_model_name(name):
            raise InvalidInput(
                f"model name {name[:100]!r}: expected letters, digits, '.', '_' and '-' only"
            )
        try:
            directory = self._staged_directory(name, config_json, files) or self._directory(name)
            chosen = self._model_name is not None and directory.root == directory.path
            return make_plan(directory, config_json=config_json, any_name=chosen)
        except OSError as error:
            raise LoadFailed(
                f"failed to load '{name}': {error.filename}: cannot be read: {error.strerror}: "
                f"may the server's user read it?"
            ) from error

    def close(self) -> None:
        """Remove what load requests brought."""
        self._staged.close()

    def _scan(self) -> Scan:
        """Look at all roots; a name in two of them is refused."""
        scans = [self._scan_root(root) for root in self._roots]
        models: dict[str, ModelDirectory] = {}
        refused: dict[str, str] = {}
        skipped: dict[str, str] = {}
        for scan in scans:
            for name, directory in scan.models.items():
                if name in models:
                    refused[name] = (
                        f"model '{name}' is in two repositories, {models[name].root} and "
                        f"{directory.root}: remove or rename one"
                    )
                models.setdefault(name, directory)
            refused |= scan.refused
            skipped |= scan.skipped
        kept = {name: found for name, found in models.items() if name not in refused}
        return Scan(kept, refused, skipped)

    def _scan_root(self, root: Path) -> Scan:
        if self._model_name is not None:
            if (root / INCOMPLETE_MARKER).exists():
                return Scan({}, {}, {self._model_name: f"marked by {INCOMPLETE_MARKER}"})
            single = single_model(root, self._model_name)
            if single is not None:
                return Scan({self._model_name: single}, {}, {})
        return scan_repository(root)

    def _directory(self, name: str) -> ModelDirectory:
        scan = self._scan()
        if name in scan.refused:
            raise LoadFailed(f"failed to load '{name}': {scan.refused[name]}")
        if name not in scan.models:
            why = scan.skipped.get(name)
            roots = ", ".join(str(root) for root in self._roots)
            reason = why or f"no folder of this name in {roots}"
            raise NotFound(
                f"failed to load '{name}', failed to poll from model repository: {reason}"
            )
        return scan.models[name]

    def _staged_directory(
        self, name: str, config_json: str | None, files: Mapping[str, bytes]
    ) -> ModelDirectory | None:
        if not files:
            return None
        if config_json is None:
            raise LoadFailed(
                f"failed to load '{name}': the request has files and no config: files take the "
                f"place of the whole model, so give a config with them"
            )
        folder = self._staged.stage(name, files)
        return open_directory(name, folder, folder)


def _fingerprint(directory: ModelDirectory) -> str:
    try:
        return fingerprint(directory)
    except LoadFailed as error:
        return f"unreadable: {error.message}"
