"""The command line: finds the command, imports that command's module alone, and runs it."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

from typing_extensions import override

from segserve import __version__

COMMANDS = {
    "serve": "serve a model repository over gRPC and HTTP",
    "segment": "send images to a running server and print what it found",
    "models": "list what a running server has",
    "check": "validate a model repository without serving it",
    "evaluate": "score a served model on a data set",
    "export": "turn a checkpoint into a model repository (needs the export extra)",
}


class Parser(argparse.ArgumentParser):
    """An argument parser that names the nearest right flag or command."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"allow_abbrev": False, **options})  # type: ignore[arg-type]  # argparse's own options pass through

    @override
    def error(self, message: str) -> NoReturn:
        """Print usage and, as the last line, the reason; exit 2."""
        wrong = re.search(r"(?:unrecognized arguments: |invalid choice: ')([^\s=']+)", message)
        if wrong:
            known = [*self._option_string_actions, *COMMANDS]
            near = get_close_matches(wrong.group(1), known, n=1)
            message += f"; did you mean {near[0]}?" if near else ""
        super().error(message)


def build_parser(command: str | None) -> Parser:
    """Give the parser; only the module of `command` is imported."""
    parser = Parser(prog="segserve", description="Image segmentation as a service.")
    parser.add_argument("--version", action="version", version=f"segserve {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        if name == command:
            import_module(f"segserve.cli.{name}").add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=text)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0, or 1 on failure; wrong usage exits with 2.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((a for a in arguments if not a.startswith("-")), None)
    parser = build_parser(command)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        chosen = parser._subparsers._group_actions[0].choices[options.command]  # type: ignore[union-attr,index]  # noqa: SLF001  argparse has no public way to a subparser
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        return int(import_module(f"segserve.cli.{options.command}").run(options))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
