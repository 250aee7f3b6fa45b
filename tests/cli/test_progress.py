"""The bar of those who watch."""

import pytest

from segserve.cli.progress import progress_in_steps, progress_while, show_progress


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


def test_steps_are_lines_above_the_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress_in_steps("segserve export", 2) as progress:
        progress("reading")
        progress("writing")
    wiped, half = "\r\033[K", f"[{'#' * 12}{'-' * 12}] step 1 of 2\r"
    first = f"{wiped}segserve export: reading\n[{'-' * 24}] step 0 of 2\r"
    assert capsys.readouterr().err == f"{first}{wiped}segserve export: writing\n{half}{wiped}"


def test_steps_are_lines_alone_where_nobody_watches(capsys):
    with progress_in_steps("segserve export", 2) as progress:
        progress("reading")
    assert capsys.readouterr().err == "segserve export: reading\n"


def test_nobody_watches(capsys):
    show_progress(1, 2)
    with progress_while(1, 2):
        pass
    assert capsys.readouterr().err == ""
