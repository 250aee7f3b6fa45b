"""A bar on standard error, where a person watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WIDTH = 24
_WIPED = "\r\033[K"


def show_progress(done: int, total: int, what: str = "image") -> None:
    """Draw ``[######------] image 3 of 6`` over the last one; nothing where nobody watches.

    The bar is wiped away when all is done.
    """
    if _watched(total):
        filled = _WIDTH * done // total
        bar = f"[{'#' * filled}{'-' * (_WIDTH - filled)}] {what} {done} of {total}"
        print(bar, end="\r" if done < total else _WIPED, file=sys.stderr, flush=True)


@contextmanager
def progress_while(done: int, total: int) -> Iterator[None]:
    """Show the bar during a wait, so that what is printed behind it has its line for itself."""
    show_progress(done, total)
    try:
        yield
    finally:
        _wipe(total)


@contextmanager
def progress_in_steps(command: str, total: int) -> Iterator[Callable[[str], None]]:
    """Give what is called with each step's name as it begins: a line for each, the bar below."""
    done = 0

    def begin(step: str) -> None:
        nonlocal done
        _wipe(total)
        print(f"{command}: {step}", file=sys.stderr, flush=True)
        show_progress(done, total, "step")
        done += 1

    try:
        yield begin
    finally:
        _wipe(total)


def _wipe(total: int) -> None:
    if _watched(total):
        print(end=_WIPED, file=sys.stderr, flush=True)


def _watched(total: int) -> bool:
    return total > 1 and sys.stderr.isatty()
