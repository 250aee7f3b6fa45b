import pytest

from segserve.core.errors import LoadFailed
from segserve.repository.labels import MAX_LABELS_BYTES, read_labels


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"background\ncat\n", ("background", "cat")),
        (b"background\r\n cat \r\n\r\n\n", ("background", "cat")),
        (b"a\nN/A\nb", ("a", "N/A", "b")),
        ("\ufeffcaf\u00e9".encode(), ("caf\u00e9",)),
        (b"", ()),
        (b"\n\n", ()),
    ],
)
def test_lines_are_labels(tmp_path, content, labels):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    assert read_labels(path) == labels


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\n\nb\n", ":2: empty line: .* N/A"),
        (b"\na", ":1: empty line"),
        (b"a\ncaf\xe9\n", ":2: not UTF-8"),
        (b"a" * (MAX_LABELS_BYTES + 1), "larger than"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, said):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(LoadFailed, match=said):
        read_labels(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(LoadFailed, match="cannot be read"):
        read_labels(tmp_path / "labels.txt")
