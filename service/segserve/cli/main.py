"""The command line: finds the command, imports that command's module alone, and runs it."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from difflib import get_close_matches
from importlib import import_module
from itertools import takewhile
from typing import Any, NoReturn, TextIO, cast

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
_FLAG = re.compile(r"-(?![0-9.])[^ ]+")


class Parser(argparse.ArgumentParser):
    """An argument parser that names the nearest right flag or command."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"allow_abbrev": False, **options})  # type: ignore[arg-type]  # argparse's own options pass through
        self._given: list[str] = []

    @override
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Keep what was given, for `error`."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(self._given, namespace)

    @override
    def error(self, message: str) -> NoReturn:
        """Print usage and, as the last line, the reason; exit 2.

        A flag that is missing may be one that is misspelt, so unknown flags are named first.
        """
        if "arguments are required" in message and (unknown := self._unknown_flags()):
            message = f"unrecognized arguments: {' '.join(unknown)}"
        wrong = re.search(r"(?:unrecognized arguments: |invalid choice: ')([^\s=']+)", message)
        if wrong:
            known = [*self._option_string_actions, *COMMANDS]
            near = get_close_matches(wrong.group(1), known, n=1)
            message += f"; did you mean {near[0]}?" if near else ""
        super().error(message)

    def _unknown_flags(self) -> list[str]:
        flags = [word.partition("=")[0] for word in takewhile("--".__ne__, self._given)]
        return [f for f in flags if _FLAG.fullmatch(f) and f not in self._option_string_actions]


class OutputLost(Exception):
    """Standard output cannot be written. No `OSError`, which commands take for a file of theirs."""


class Output:
    """Standard output that raises `OutputLost`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        """Give all else as the stream has it."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as the stream does."""
        try:
            return self._stream.write(text)
        except OSError as error:
            raise OutputLost from error

    def flush(self) -> None:
        """Flush as the stream does."""
        try:
            self._stream.flush()
        except OSError as error:
            raise OutputLost from error


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
        0, or 1 on failure, also of writing to standard output; wrong usage exits with 2.
    """
    if argv is None:
        _end_at_second_interrupt()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:
        return _run(arguments)
    stream = sys.stdout
    output = Output(stream)
    try:
        with redirect_stdout(cast("TextIO", output)):
            try:
                return _run(arguments)
            finally:
                output.flush()
    except OutputLost as lost:
        _tell_lost(lost.__cause__)
        _discard(stream)
        return 1


def _run(arguments: list[str]) -> int:
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


def _end_at_second_interrupt() -> None:
    """Let the first Ctrl-C end the command in order, and the next one end it at once."""

    def interrupt(*_: object) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, interrupt)


def _tell_lost(reason: BaseException | None) -> None:
    """Say why; nothing of a pipe that its reader closed, who has what they wanted."""
    if isinstance(reason, OSError) and not isinstance(reason, BrokenPipeError):
        print(
            f"segserve: cannot write to standard output: {reason.strerror}: free some space, or "
            f"send it elsewhere",
            file=sys.stderr,
        )


def _discard(stream: TextIO) -> None:
    """Let the interpreter's last flush go nowhere instead of failing again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
