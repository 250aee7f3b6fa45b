"""Which line each field of a text-format protobuf was written on.

Python's ``google.protobuf.text_format`` tells the line of a syntax error only; the line of a field
that is well written and wrong needs this second, forgiving look at a text that parsed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

_TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)
      | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<word>[A-Za-z0-9_.+-]+)
      | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTES = "\"'"
_BEFORE_VALUE = (":", "{", "<", "[")


def field_lines(text: str) -> Mapping[str, int]:
    """Give the line (from 1) of every field by its path.

    Parameters
    ----------
    text : str
        Text format that the parser accepted; on other text the answer is merely useless.

    Returns
    -------
    Mapping of str to int
        Paths such as ``max_batch_size``, ``input[0].dims``, ``parameters[family]``. The first of a
        field's messages is there without its index too: ``dynamic_batching.priority_levels``.
    """
    tokens = [*_tokens(text), ("", 0), ("", 0)]
    walk = _Walk()
    for (token, line), (after, _), (then, _) in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if token in ("{", "<"):
            walk.enter(line)
        elif token in ("}", ">"):
            walk.leave()
        elif token[:1].isalpha() and after in _BEFORE_VALUE:
            walk.field(token, line, then)
    return walk.lines


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line = 1
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "skip":
            yield match.group(), line
        line += match.group().count("\n")


class _Walk:
    """A stack of open messages, and the name of the field that the next one belongs to."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._open: list[str] = []
        self._name = ""

    def field(self, name: str, line: int, value: str) -> None:
        self._name = name
        self._note(self._path(name), line)
        if name == "key" and self._open:
            # Of entries with one key the last counts.
            self.lines[f"{self._open[-1].rpartition('[')[0]}[{value.strip(_QUOTES)}]"] = line

    def enter(self, line: int) -> None:
        path = self._path(self._name)
        self._open.append(f"{path}[{self._counts[path]}]")
        self._counts[path] += 1
        self._note(self._open[-1], line)

    def leave(self) -> None:
        closed = self._open.pop() if self._open else ""
        self._name = closed.rpartition("[")[0].rpartition(".")[2]

    def _path(self, name: str) -> str:
        return f"{self._open[-1]}.{name}" if self._open else name

    def _note(self, path: str, line: int) -> None:
        self.lines.setdefault(path, line)
        self.lines.setdefault(path.replace("[0]", ""), line)
