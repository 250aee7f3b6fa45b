"""A bar on standard error, where a person watches."""

from __future__ import annotations

import sys

_WIDTH = 24


def show_progress(done: int, total: int, what: str = "image") -> None:
    """Draw ``[######------] image 3 of 6`` over the last one; nothing where nobody watches.

    The bar is wiped away when all is done, so that what is printed next begins a line.
    """
    if total > 1 and sys.stderr.isatty():
        filled = _WIDTH * done // total
        bar = f"[{'#' * filled}{'-' * (_WIDTH - filled)}] {what} {done} of {total}"
        end = "\r" if done < total else "\r\033[K"
        print(bar, end=end, file=sys.stderr, flush=True)
