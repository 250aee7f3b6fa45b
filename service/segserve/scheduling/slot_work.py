"""What the thread that has the slot does with a batch: blocking, from entries to outcomes.

Before the run come those of the entries whose inputs are not filled yet, behind it what follows
from its outputs, where no other core would begin with that sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from segserve.core.errors import Cancelled, DeadlineExceeded
from segserve.scheduling.batch_run import Outcome, RunModel, followed, run_rows
from segserve.scheduling.item import Entry


def run_entries(
    entries: Sequence[Entry], run: RunModel, *, batched: bool, spare: Callable[[], bool]
) -> list[tuple[Entry, Outcome]]:
    """Run what is still wanted of a batch.

    Parameters
    ----------
    entries : sequence of Entry
        Of one bucket.
    run : RunModel
    batched : bool
        The model has a batch axis.
    spare : callable
        Whether another core is free: then what follows the run of several items is left to it.

    Returns
    -------
    list of (Entry, Outcome)
        Without those whose caller has gone.
    """
    outcomes: list[tuple[Entry, Outcome]] = []
    live: list[Entry] = []
    for entry in entries:
        if entry.item.deadline.passed():
            late = DeadlineExceeded("the caller's deadline passed while the request was queued")
            outcomes.append((entry, late))
        elif not entry.future.done():
            error = _begin(entry)
            if error is None:
                live.append(entry)
            else:
                outcomes.append((entry, error))
    if live:
        results = run_rows([entry.item.inputs for entry in live], run, batched=batched)
        if len(live) == 1 or not spare():
            results = [_followed(e, r) for e, r in zip(live, results, strict=True)]
        outcomes += ((e, _in_time(e, r)) for e, r in zip(live, results, strict=True))
    return outcomes


def _begin(entry: Entry) -> Exception | None:
    """Do the work that fills an item's inputs, if any; gives what went wrong."""
    if entry.item.first is None:
        return None
    start_s = time.monotonic()
    try:
        entry.begun = entry.item.first()
    except Exception as error:  # noqa: BLE001  it is this item's answer
        return error
    entry.first_s = time.monotonic() - start_s
    return None


def _followed(entry: Entry, outcome: Outcome) -> Outcome:
    """Do the work that follows an item's run, unless nobody waits for it."""
    then = entry.item.then
    if then is None or entry.unwanted():
        return outcome
    return followed(outcome, then)


def _in_time(entry: Entry, outcome: Outcome) -> Outcome:
    """Give the reason for which a run was stopped: to a caller who waits it was the deadline."""
    if isinstance(outcome, Cancelled) and entry.item.deadline.passed():
        return DeadlineExceeded("the caller's deadline passed while the request was running")
    return outcome
