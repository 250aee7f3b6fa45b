"""``segserve serve``: every setting as a flag, then the server until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from enum import Enum
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from typing_extensions import override

from segserve.observability.logging import setup_logging
from segserve.settings import Settings, explain, misspelt, variable

log = logging.getLogger(__name__)
_ELSEWHERE = {
    "--strict-model-config": "--disable-auto-complete-config",
    "--http-max-input-size": "--max-request-bytes",
    "--trace-config": "--otlp-endpoint",
}
"""Flags of Triton's whose work another flag does here."""
_ALIASES = {"model_repository": ["--model-store"]}


def add_parser(subparsers: Any) -> None:
    """Add the command with one flag per field of `Settings`."""
    parser = subparsers.add_parser(
        "serve",
        help="serve a model repository over gRPC and HTTP",
        description="Serve a model repository. Every flag is also an environment variable: "
        "--grpc-port is SEGSERVE_GRPC_PORT.",
    )
    for name, field in Settings.model_fields.items():
        flags = ["--" + name.replace("_", "-"), *_ALIASES.get(name, [])]
        parser.add_argument(*flags, dest=name, **_flag_options(field))
    for flag in _ELSEWHERE:
        parser.add_argument(flag, action=_Elsewhere, help=argparse.SUPPRESS)


class _Elsewhere(argparse.Action):
    """Names the right flag."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        del dest
        super().__init__(option_strings, argparse.SUPPRESS, nargs="?", **options)

    @override
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        del namespace, values
        flag = option_string or self.option_strings[0]
        parser.error(f"{flag} is a flag of Triton's: give {_ELSEWHERE[flag]} instead")


def _flag_options(field: FieldInfo) -> dict[str, Any]:
    default = "" if field.is_required() else f" (default: {_shown(field.default)})"
    options: dict[str, Any] = {
        "default": argparse.SUPPRESS,
        "help": (field.description or "").replace("%", "%%") + default,
        "metavar": "VALUE",
    }
    if field.annotation is bool:
        options |= {"nargs": "?", "const": "true", "metavar": "true|false"}
    elif get_origin(field.annotation) is tuple:
        options["action"] = "append"
    elif isinstance(field.annotation, type) and issubclass(field.annotation, Enum):
        options["metavar"] = "|".join(str(member.value) for member in field.annotation)
    return options


def _shown(default: object) -> object:
    if isinstance(default, Enum):
        return default.value
    return str(default).lower() if isinstance(default, bool) else default


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean stop, 2 for bad settings."""
    given = {k: v for k, v in vars(options).items() if k in Settings.model_fields}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        print(f"segserve serve: {explain(error)}", file=sys.stderr)
        return 2
    gc.disable()  # what a start makes stays: `ModelControl.start` enables it again
    try:
        return _serve(settings)
    finally:
        gc.enable()


def _serve(settings: Settings) -> int:
    from segserve.app import serve

    setup_logging(settings.log_format.value, verbose=settings.log_verbose > 0)
    for name, near in misspelt().items():
        log.warning("variable_not_known", extra={"variable": name, "did_you_mean": near})

    return serve(settings)


def flags_table() -> str:
    """Give docs/flags.md: every flag, its variable, default and meaning, as a Markdown table."""
    rows = [
        f"| `--{name.replace('_', '-')}` | `{variable(name)}` | "
        f"{'(required)' if field.is_required() else f'`{_shown(field.default)}`'} | "
        f"{(field.description or '').replace('|', chr(92) + '|')} |"
        for name, field in Settings.model_fields.items()
    ]
    return (
        "# Flags of `segserve serve`\n\n"
        "Every flag is also an environment variable; the flag wins. Names are Triton's where "
        "Triton has the flag.\nThis table is written by `python -m segserve.cli.serve`.\n\n"
        "| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


if __name__ == "__main__":
    print(flags_table(), end="")
