"""``segserve export``: a checkpoint becomes a model repository that the server can serve."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

from segserve.cli.precision import add_flags, export_in_precision
from segserve.cli.progress import progress_in_steps
from segserve.core.errors import InvalidInput, NotFound, ServiceError

_COMMAND = "segserve export"
_NEEDED = ("torch", "onnx", "onnxscript", "onnxruntime")
_BACKENDS = {"onnx": "onnxruntime", "torchscript": "pytorch"}
_RUNTIMES = {"onnx": "ONNX Runtime", "torchscript": "TorchScript"}


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "export",
        help="turn a checkpoint into a model repository (needs the export extra)",
        description="Read a checkpoint, export it to ONNX or TorchScript, compare the two, and "
        "write DIR/NAME/{config.pbtxt,labels.txt,1/model.onnx} or 1/model.{pt,json}.",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="name or alias; see --list")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights to read")
    parser.add_argument("--out", type=Path, metavar="DIR", help="model repository, made if missing")
    parser.add_argument("--name", help="name of the model (default: the recipe's)")
    parser.add_argument(
        "--format", choices=list(_BACKENDS), default="onnx", help="of the graph (default: onnx)"
    )
    add_flags(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing version 1")
    parser.add_argument("--list", action="store_true", help="show the recipes")


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Returns
    -------
    int
        0, 1 on failure, 2 on wrong usage; the reason is the last line on stderr.
    """
    if options.list:
        _list()
        return 0
    given = {"RECIPE": options.recipe, "--checkpoint": options.checkpoint}
    if options.source is not None:
        given = {"--precision": options.precision}
    given["--out"] = options.out
    missing = [name for name, value in given.items() if value is None]
    if missing:
        return _fail(f"{', '.join(missing)} missing; segserve export --help shows the usage", 2)
    lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        return _fail(f"{', '.join(lacking)} missing: pip install 'segserve[export,cpu]'", 1)
    return _convert(options) if options.precision else _export(options)


def _convert(options: argparse.Namespace) -> int:
    from segserve.export.catalogue import find_recipe

    try:
        if options.source is None:
            find_recipe(options.recipe)
    except NotFound as error:
        return _fail(error.message, 2)
    try:
        with progress_in_steps(_COMMAND, 2) as progress:
            done = export_in_precision(options, progress)
    except ServiceError as error:
        return _fail(error.message, 1)
    except OSError as error:
        return _fail(str(error), 1)
    print(done)
    return 0


def _export(options: argparse.Namespace) -> int:
    from segserve.export.catalogue import find_recipe
    from segserve.export.write import check_name

    try:
        recipe = find_recipe(options.recipe)
        name = options.name or recipe.name
        check_name(name)
    except (NotFound, InvalidInput) as error:
        return _fail(error.message, 2)

    from segserve.export.run import Destination, export_checkpoint

    backend = _BACKENDS[options.format]
    destination = Destination(options.out, name, overwrite=options.overwrite, backend=backend)
    try:
        with progress_in_steps(_COMMAND, 3) as progress:
            done = export_checkpoint(recipe, options.checkpoint, destination, progress)
    except ServiceError as error:
        return _fail(error.message, 1)
    except OSError as error:
        return _fail(str(error), 1)
    print(
        f"{done.path}: {done.graph_bytes / 1e6:.1f} MB; {_RUNTIMES[options.format]} "
        f"{done.comparison.summary}"
    )
    return 0


def _list() -> None:
    from segserve.export.catalogue import RECIPES

    for recipe in RECIPES:
        print(recipe.name)
        for alias in recipe.aliases:
            print(f"  alias {alias}")
        told = recipe.provenance
        print(f"  source {told.source}")
        print(f"  keys {told.keys}")
        print(f"  input {told.input_rule}")
        print(f"  output {told.output_rule}")


def _fail(reason: str, code: int) -> int:
    # One line, so that the reason is the last line whatever it lists.
    print(f"{_COMMAND}: {'; '.join(reason.splitlines())}", file=sys.stderr)
    return code
