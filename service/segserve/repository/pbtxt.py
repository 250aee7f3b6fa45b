"""``config.pbtxt`` and the JSON of a load request, as `ModelConfig`."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from google.protobuf import json_format, text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor

from segserve.core.errors import InvalidInput, LoadFailed
from segserve.generated.inference import model_config_pb2
from segserve.repository.honoured import unhonoured
from segserve.repository.model_config import ModelConfig, Origin
from segserve.repository.pbtxt_lines import field_lines
from segserve.repository.proto_fields import read_fields

MAX_CONFIG_BYTES = 4 << 20
_NO_FIELD = re.compile(r'Message type "(?P<type>[\w.]+)" has no field named "(?P<got>[^"]+)"')
_NO_VALUE = re.compile(r'Enum type "(?P<type>[\w.]+)" has no value named "?(?P<got>\w+)')
_NO_JSON_VALUE = re.compile(r"Invalid enum value (?P<got>\w+) for enum type (?P<type>[\w.]+)")


def parse_config(text: str, *, source: str) -> ModelConfig:
    """Parse the text format.

    Parameters
    ----------
    text : str
    source : str
        Where the text came from, for messages.

    Raises
    ------
    LoadFailed
        With ``source:line:column``, what is wrong there, and the nearest right name.
    """
    message = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise LoadFailed(_explain(error, source)) from None
    except RecursionError:
        raise LoadFailed(f"{source}: messages are nested too deeply") from None
    origin = Origin(source, MappingProxyType(field_lines(text)))
    return _from_proto(message, origin)


def read_config(path: Path, *, source: str) -> tuple[ModelConfig, bytes]:
    """Read and parse a file.

    Returns
    -------
    tuple of ModelConfig and bytes
        The config and the file's bytes, which are part of the model's digest.

    Raises
    ------
    LoadFailed
        When the file cannot be read, is not UTF-8, is over 4 MiB, or does not parse.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise LoadFailed(f"{source}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_CONFIG_BYTES:
        raise LoadFailed(f"{source}: larger than {MAX_CONFIG_BYTES} bytes: is this a config?")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LoadFailed(f"{source}:{line}: not UTF-8: save the file as UTF-8 text") from None
    return parse_config(text, source=source), data


def config_from_json(text: str, *, source: str = "the load request's config") -> ModelConfig:
    """Parse the JSON that a load request's ``config`` parameter carries.

    Field names may be the proto's (``max_batch_size``) or JSON's (``maxBatchSize``).

    Raises
    ------
    InvalidInput
        When it is no JSON object, or a field is unknown or of the wrong type.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{source}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InvalidInput(f"{source}: got a JSON {type(content).__name__}, expected an object")
    message = model_config_pb2.ModelConfig()
    try:
        json_format.ParseDict(content, message)
    except json_format.ParseError as error:
        raise InvalidInput(f"{source}: {_with_nearest(str(error))}") from None
    except RecursionError:
        raise InvalidInput(f"{source}: nested too deeply") from None
    written = dict.fromkeys((_snake(str(key)) for key in content), 1)
    try:
        return _from_proto(message, Origin(source, MappingProxyType(written)))
    except LoadFailed as error:
        raise InvalidInput(error.message) from None


def format_config(config: ModelConfig) -> str:
    """Give the config as ``config.pbtxt`` would say it; `parse_config` reads it back."""
    return text_format.MessageToString(config.to_proto(), use_index_order=False)


def unhonoured_fields(config: ModelConfig) -> tuple[str, ...]:
    """Name every field that is set and has no effect here.

    Returns
    -------
    tuple of str
        Paths such as ``instance_group[0].host_policy``, in the message's order.
    """
    return unhonoured(config.to_proto())


def _from_proto(message: model_config_pb2.ModelConfig, origin: Origin) -> ModelConfig:
    try:
        config = read_fields(ModelConfig, message)
    except LoadFailed as error:
        raise LoadFailed(f"{origin.source}: {error.message}") from None
    return replace(config, origin=origin)


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match.group().lower(), name)


def _explain(error: text_format.ParseError, source: str) -> str:
    """Put the place in front and the nearest right name behind."""
    text = re.sub(r"^\d+:\d+ : ", "", str(error))
    line, column = error.GetLine(), error.GetColumn()
    place = f"{source}:{line}:{column}" if line is not None else source
    return f"{place}: {_with_nearest(text)}"


def _with_nearest(text: str) -> str:
    match = _NO_FIELD.search(text) or _NO_VALUE.search(text) or _NO_JSON_VALUE.search(text)
    if match is None:
        return text.rstrip(".")
    names = _names_of(match["type"])
    near = difflib.get_close_matches(match["got"], names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(names)}"
    kind = "field" if match.re is _NO_FIELD else "value"
    short = match["type"].removeprefix("inference.")
    return f"unknown {kind} '{match['got']}' in {short}: {hint}"


def _names_of(full_name: str) -> list[str]:
    """Fields of a message, or values of an enum, anywhere in the config's file."""
    file = model_config_pb2.DESCRIPTOR
    parts = full_name.removeprefix("inference.").split(".")
    found: Descriptor | EnumDescriptor | None
    found = file.message_types_by_name.get(parts[0]) or file.enum_types_by_name.get(parts[0])
    for part in parts[1:]:
        if isinstance(found, Descriptor):
            found = found.nested_types_by_name.get(part) or found.enum_types_by_name.get(part)
    if isinstance(found, Descriptor):
        return list(found.fields_by_name)
    return list(found.values_by_name) if found is not None else []
