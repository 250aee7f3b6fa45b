"""``segserve check``: every config validated, every model opened, without serving anything."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segserve.cli.progress import show_progress
from segserve.core.errors import LoadFailed, ServiceError
from segserve.core.tensor import TensorSpec
from segserve.repository.autocomplete import complete
from segserve.repository.layout import CLASSICAL_BACKEND
from segserve.repository.model_config import InstanceKind, ModelConfig
from segserve.repository.store import LoadPlan, RepositoryStore, VersionFiles

MAX_IMAGE_PIXELS = 64_000_000
_KIND_GPU = InstanceKind.GPU
_ACCELERATORS = "optimization.execution_accelerators"


@dataclass(frozen=True)
class VersionReport:
    """One version that can be opened."""

    version: int
    digest: str
    max_batch_size: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    family: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ModelReport:
    """One model; it can be served when there is no error."""

    name: str
    versions: tuple[VersionReport, ...]
    errors: tuple[str, ...]


Probe = Callable[[LoadPlan, VersionFiles], VersionReport]
"""Opens one version and tells of it; raises `ServiceError`."""


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "check",
        help="validate a model repository without serving it",
        description="Validate every config.pbtxt and open every model. Exit 0 when all can be "
        "served, 1 when one cannot, 2 on wrong usage.",
    )
    parser.add_argument("repository", type=Path, metavar="REPO", help="folder of models")
    parser.add_argument("--model", action="append", metavar="NAME", help="check this model alone")
    parser.add_argument(
        "--model-name", metavar="NAME", help="REPO itself is one model, or its file"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Check and report; 0 when every model can be served, 1 when one cannot, 2 for a bad REPO."""
    if not options.repository.exists():
        print(f"segserve check: {options.repository}: no such file or folder", file=sys.stderr)
        return 2
    store = RepositoryStore([options.repository], model_name=options.model_name)
    try:
        skipped = store.snapshot().skipped
        names = options.model or store.names()
        reports = list(_checked(store, names))
    except ServiceError as error:
        print(f"segserve check: {error.message}", file=sys.stderr)
        return 1
    print(_json(reports, skipped) if options.json else _text(reports, skipped))
    return _verdict(reports, options.repository)


def _checked(store: RepositoryStore, names: Sequence[str]) -> Iterator[ModelReport]:
    for done, name in enumerate(names, 1):
        yield check_model(store, name, probe)
        show_progress(done, len(names), "model")


def check_model(store: RepositoryStore, name: str, open_version: Probe) -> ModelReport:
    """Look at all versions of one model that its policy chooses."""
    try:
        plan = store.plan(name)
    except ServiceError as error:
        return ModelReport(name, (), (error.message,))
    versions, errors = [], []
    for version in plan.versions:
        try:
            versions.append(open_version(plan, version))
        except ServiceError as error:
            errors.append(f"version {version.version}: {error.message}")
    return ModelReport(name, tuple(versions), tuple(errors))


def probe(plan: LoadPlan, version: VersionFiles) -> VersionReport:
    """Open one version as the server would, on the CPU, and build its family.

    What the config asks for besides the CPU is opened too; where it is not here, that is a warning.

    Raises
    ------
    ServiceError
        Where the server would not load it.
    """
    from segserve.families.factory import build_family
    from segserve.serving.backend_choice import check_devices, inspect_model, onnx_options
    from segserve.serving.limits import batch_limits
    from segserve.serving.warm_samples import configured_samples

    graph = inspect_model(plan.config, version.model_file)
    config = complete(plan.config, plan.name, graph, version.model_file.name)
    try:
        inputs, outputs = config.input_specs(), config.output_specs()
        family = build_family(
            config.parameters, plan.labels, inputs, outputs, max_image_pixels=MAX_IMAGE_PIXELS
        )
        check_devices(config)
        configured_samples(config, plan.directory.path)
        onnx_options(config, 1, None)
        batch_limits(config, cores=1, on_cpu=True)
        absent = device_warnings(config, version.model_file)
    except ServiceError as error:
        raise LoadFailed(with_line(config, error.message)) from None
    if family is not None and config.max_batch_size == 0:
        raise LoadFailed(
            f"{config.origin.at('max_batch_size')}: got 0, expected 1 or more: the server batches "
            f"a family's images: export the model with a free first axis"
        )
    return VersionReport(
        version=version.version,
        digest=version.digest,
        max_batch_size=config.max_batch_size,
        inputs=tuple(map(_tensor, inputs)),
        outputs=tuple(map(_tensor, outputs)),
        family=config.parameters.get("family", ""),
        warnings=(*absent, *_warnings(plan, config, version.model_file.name)),
    )


def device_warnings(config: ModelConfig, model_file: Path) -> tuple[str, ...]:
    """Open the model where its config asks for more than the CPU; tell what is not here."""
    from segserve.serving.backend_choice import open_backends

    asked = _asked_devices(config)
    if not asked:
        return ()
    try:
        backends = open_backends(config, model_file, cores=1)
    except LoadFailed as error:
        text = error.message.lower()
        named = {at: word for at, word in asked.items() if _provider(word) in text} or asked
        return tuple(
            f"{config.origin.at(at)}: asks for {word}, and `segserve serve` on this machine would "
            f"refuse it: {error.message}"
            for at, word in named.items()
        )
    for backend in backends:
        backend.close()
    return ()


def _asked_devices(config: ModelConfig) -> dict[str, str]:
    """Give the fields that the server reads as more than the CPU, each with its word."""
    from segserve.serving.backend_choice import devices

    if config.backend == CLASSICAL_BACKEND:
        return {}
    on_gpu = devices(config) != (None,)
    kinds = [(at, g.kind) for at, g in enumerate(config.instance_group) if g.kind == _KIND_GPU]
    asked = {f"instance_group[{at}].kind": str(kind) for at, kind in kinds[:1]}
    listed = config.optimization.execution_accelerators if config.optimization else None
    if listed is None:
        return asked
    chosen = listed.gpu_execution_accelerator if on_gpu else listed.cpu_execution_accelerator
    path = f"{_ACCELERATORS}.{'gpu' if on_gpu else 'cpu'}_execution_accelerator"
    return asked | {f"{path}[{at}].name": a.name for at, a in enumerate(chosen)}


def _provider(word: str) -> str:
    """Give ONNX Runtime's name, in small letters, of what a config calls `word`."""
    return f"{'cuda' if word == _KIND_GPU else word}executionprovider"


def _warnings(plan: LoadPlan, config: ModelConfig, filename: str) -> tuple[str, ...]:
    from segserve.serving.without_effect import without_effect

    hints = without_effect(config, filename, [version.version for version in plan.versions])
    return tuple(
        f"{config.origin.at(field)}: not honoured, it has no effect{hint}"
        for field, hint in hints.items()
    )


def with_line(config: ModelConfig, message: str) -> str:
    """Put the line of the parameter that a message is about in front of it."""
    for key in config.parameters:
        path = f"parameters[{key}]"
        if f"'{key}'" in message and config.origin.wrote(path):
            return f"{config.origin.at(path)}: {message}"
    return message


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype.value}[{','.join(map(str, spec.dims))}]"


def _json(reports: Sequence[ModelReport], skipped: Any) -> str:
    content = {
        "ok": not any(report.errors for report in reports),
        "models": [asdict(report) for report in reports],
        "skipped": dict(skipped),
    }
    return json.dumps(content, indent=2)


def _text(reports: Sequence[ModelReport], skipped: Any) -> str:
    rows = [("MODEL", "VERSION", "STATE", "BATCH", "FAMILY", "INPUTS", "OUTPUTS")]
    for report in reports:
        rows += [
            (
                *(report.name, str(version.version), "ok", str(version.max_batch_size)),
                *(version.family or "-", " ".join(version.inputs), " ".join(version.outputs)),
            )
            for version in report.versions
        ]
        rows += [(report.name, "-", "FAILED", "-", "-", "-", "-")] if report.errors else []
    return "\n".join([*_table(rows), *_notes(reports, skipped)])


def _notes(reports: Sequence[ModelReport], skipped: Any) -> Iterable[str]:
    for report in reports:
        yield from (f"error: {report.name}: {error}" for error in report.errors)
        for version in report.versions:
            yield from (f"warning: {report.name}: {warning}" for warning in version.warnings)
    yield from (f"skipped: {name}: {reason}" for name, reason in sorted(skipped.items()))


def _table(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _verdict(reports: Sequence[ModelReport], repository: Path) -> int:
    failed = [report.name for report in reports if report.errors]
    if not reports:
        print(f"segserve check: no model in {repository}", file=sys.stderr)
        return 1
    if failed:
        text = f"{len(failed)} of {len(reports)} models cannot be served: {', '.join(failed)}"
        print(f"segserve check: {text}", file=sys.stderr)
        return 1
    return 0
