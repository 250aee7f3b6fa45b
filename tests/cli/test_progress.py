"""The bar of those who watch."""

import pytest

from segserve.cli.progress import progress_while, show_progress


def test_a_bar_grows_and_goes(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show_progress(1, 2)
    show_progress(2, 2, "model")
    show_progress(1, 1)
    first, second = f"[{'#' * 12}{'-' * 12}] image 1 of 2\r", f"[{'#' * 24}] model 2 of 2\r\033[K"
    assert capsys.readouterr().err == first + second


def test_a_bar_goes_before_what_is_printed(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with pytest.raises(ValueError, match="no"), progress_while(0, 2):
        raise ValueError("no")
    assert capsys.readouterr().err == f"[{'-' * 24}] image 0 of 2\r\r\033[K"


def test_nobody_watches(capsys):
    show_progress(1, 2)
    with progress_while(1, 2):
        pass
    assert capsys.readouterr().err == ""
