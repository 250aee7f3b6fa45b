"""``labels.txt``: line n, from 0, names label n."""

from __future__ import annotations

from pathlib import Path

from segserve.core.errors import LoadFailed
from segserve.core.label_map import UNUSED_LABEL

MAX_LABELS_BYTES = 4 << 20


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a file of labels, one a line, UTF-8.

    Returns
    -------
    tuple of str
        Without surrounding white space; empty lines at the end are dropped.

    Raises
    ------
    LoadFailed
        When the file cannot be read, is not UTF-8, is over 4 MiB, or has an empty line inside.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LABELS_BYTES + 1)
    except OSError as error:
        raise LoadFailed(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_LABELS_BYTES:
        raise LoadFailed(f"{path}: larger than {MAX_LABELS_BYTES} bytes: is this a list of labels?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise LoadFailed(f"{path}:{line}: not UTF-8: save the file as UTF-8 text") from None
    labels = [line.strip() for line in text.rstrip().split("\n")] if text.strip() else []
    for number, label in enumerate(labels, start=1):
        if not label:
            raise LoadFailed(
                f"{path}:{number}: empty line: write the label's name, or {UNUSED_LABEL} for an id "
                f"not in use"
            )
    return tuple(labels)
