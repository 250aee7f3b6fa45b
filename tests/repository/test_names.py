import pytest

from segserve.core.errors import LoadFailed
from segserve.repository.names import (
    check_model_name,
    is_model_name,
    is_unfinished,
    version_number,
)


@pytest.mark.parametrize("name", ["m", "a.b-c_D9", "vainf_deeplabv3plus_resnet50_os16", ".hidden"])
def test_good_names(name):
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "a\n", "a\0", "lost+found"])
def test_bad_names(name):
    assert not is_model_name(name)
    with pytest.raises(LoadFailed, match="rename"):
        check_model_name(name)


def test_versions():
    assert version_number("1") == 1
    assert version_number("20") == 20
    assert version_number("warmup") is None
    assert version_number("1.tmp") is None
    assert version_number("-1") is None
    assert version_number("²") is None


@pytest.mark.parametrize(("name", "fix"), [("0", "'1'"), ("007", "'7'"), ("9" * 19, "'999")])
def test_digits_that_are_no_version(name, fix):
    with pytest.raises(LoadFailed, match="without leading zeros") as caught:
        version_number(name)
    assert fix in caught.value.message


def test_unfinished_names():
    assert is_unfinished(".staging")
    assert is_unfinished("m.tmp")
    assert is_unfinished("2.partial")
    assert not is_unfinished("m.tmp2")
