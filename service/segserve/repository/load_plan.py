"""What loading one model means: which versions, with which config and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from segserve.core.errors import LoadFailed
from segserve.repository.fingerprint import digest, files_below
from segserve.repository.labels import read_labels
from segserve.repository.layout import LABELS_NAME, ModelDirectory, default_filenames
from segserve.repository.model_config import ModelConfig
from segserve.repository.onnx_external import external_locations
from segserve.repository.paths import inside_folder, resolve_inside
from segserve.repository.pbtxt import config_from_json, read_config
from segserve.repository.validation import check_config
from segserve.repository.version_policy import choose_versions

_WITHOUT_EXTERNAL = (".json", ".pt")


@dataclass(frozen=True)
class VersionFiles:
    """One version on disk.

    Parameters
    ----------
    version : int
    path : Path
        The version's folder.
    model_file : Path
        The file to open, whose external data lies relative to the folder that it is named in.
    digest : str
        ``sha256:...`` over config, labels and the version's files.
    """

    version: int
    path: Path
    model_file: Path
    digest: str


@dataclass(frozen=True)
class LoadPlan:
    """What loading a model means: which versions, with which config and labels.

    Parameters
    ----------
    name : str
    config : ModelConfig or None
        As written and checked by itself; None when nothing is written.
    directory : ModelDirectory
    labels : tuple of str
        Empty when the model has no labels file.
    versions : tuple of VersionFiles
        Chosen by the version policy, rising, never empty.
    """

    name: str
    config: ModelConfig | None
    directory: ModelDirectory
    labels: tuple[str, ...]
    versions: tuple[VersionFiles, ...]


def make_plan(
    directory: ModelDirectory, *, config_json: str | None = None, any_name: bool = False
) -> LoadPlan:
    """Read a model's config, labels and, for the digest, all of its chosen versions' files.

    Parameters
    ----------
    directory : ModelDirectory
    config_json : str, optional
        Takes the place of ``config.pbtxt``.
    any_name : bool
        The config may say another name than the directory's.

    Raises
    ------
    InvalidInput
        When a load request's config is not the JSON of one.
    LoadFailed
        When the config is wrong, a file is missing, or a path leads outside the repository.
    """
    config, config_bytes = read_model_config(directory, config_json)
    if config is not None:
        check_config(config, name=directory.name, any_name=any_name)
        config = replace(config, name=directory.name)
    labels_path = _labels_path(directory, config)
    labels = read_labels(labels_path) if labels_path is not None else ()
    covered = (config_bytes, "\n".join(labels).encode())
    versions = tuple(
        _version_files(directory, version, path, covered)
        for version, path in _chosen(directory, config).items()
    )
    return LoadPlan(directory.name, config, directory, labels, versions)


def read_model_config(
    directory: ModelDirectory, config_json: str | None
) -> tuple[ModelConfig | None, bytes]:
    """Give the config as written, and its bytes for the digest.

    Raises
    ------
    InvalidInput
        When a load request's config is not the JSON of one.
    LoadFailed
        When ``config.pbtxt`` is wrong.
    """
    if config_json is not None:
        source = f"failed to load '{directory.name}': the load request's config"
        return config_from_json(config_json, source=source), config_json.encode()
    if directory.config_path is None:
        return None, b""
    path = resolve_inside(directory.config_path, directory.root)
    return read_config(path, source=str(directory.config_path))


def _labels_path(directory: ModelDirectory, config: ModelConfig | None) -> Path | None:
    """Find the first output's ``label_filename``, else ``labels.txt`` if there is one."""
    for index, output in enumerate(config.output if config is not None else ()):
        if config is not None and output.label_filename:
            field_name = config.origin.at(f"output[{index}].label_filename")
            return inside_folder(
                directory.path, output.label_filename, root=directory.root, field=field_name
            )
    path = directory.path / LABELS_NAME
    return resolve_inside(path, directory.root) if path.exists() else None


def _chosen(directory: ModelDirectory, config: ModelConfig | None) -> Mapping[int, Path]:
    """Apply the version policy to the versions whose model file is there."""
    told = config or ModelConfig()
    given = told.default_model_filename
    names = (given,) if given else default_filenames(told.backend, told.platform)
    files = {v: [directory.model_path(v, name) for name in names] for v in directory.versions}
    paths = {v: next(filter(None, found), None) for v, found in files.items()}
    there = {version: path for version, path in paths.items() if path is not None}
    policy = config.version_policy if config is not None else None
    chosen = choose_versions(policy, there)
    if not chosen:
        want = directory.path / "1" / names[0]
        found = ", ".join(str(version) for version in there) or "none"
        raise LoadFailed(
            f"failed to load '{directory.name}', no version is available: versions with a model "
            f"file: {found}; expected e.g. {want}, and a version_policy that chooses it"
        )
    return {version: there[version] for version in chosen}


def _opened(path: Path, real: Path, external: tuple[str, ...]) -> Path:
    """Choose the name to open a version's file by: backends look beside it for external data.

    It is the real file's, unless that says less: caches of Hugging Face's kind link each file of a
    model to a blob that is called by its content, so that the data lies beside the link alone.
    """
    beside = all((real.parent / location).exists() for location in external)
    if beside and real.suffix == path.suffix:
        return real
    return path.parent.resolve(strict=True) / path.name


def _version_files(
    directory: ModelDirectory, version: int, path: Path, covered: tuple[bytes, bytes]
) -> VersionFiles:
    real = resolve_inside(path, directory.root)
    locations = () if path.suffix in _WITHOUT_EXTERNAL else external_locations(real)
    model_file = _opened(path, real, locations)
    external = {
        f"external:{location}": inside_folder(
            model_file.parent, location, root=directory.root, field=f"{path}: external data"
        )
        for location in locations
    }
    folder = directory.version_path(version)
    if directory.bare_file is not None:
        own: Mapping[str, Path] = {path.name: model_file}
    else:
        own = files_below(folder, directory.root)
    config, labels = covered
    return VersionFiles(version, folder, model_file, digest(config, labels, {**own, **external}))
