"""Where an image is decoded: ahead of its batch, in turn with the batches, or by its batch."""

from __future__ import annotations

from segserve.execution.cpu_pool import CpuPool, Priority
from segserve.families.family import Plan
from segserve.serving.lane import Lane

_IN_BATCH_BYTES = 2 << 20
"""Decoded pixels of an image that may hold up its batch, or keep all cores waiting for one."""


def decode_line(plan: Plan, pool: CpuPool, lane: Lane) -> Priority | None:
    """Give the line in which an image for a model on the CPU waits to be decoded.

    Returns
    -------
    Priority or None
        None for who need not wait, as the thread that runs its batch decodes it: an image that has
        the machine to itself is answered sooner so, and one that finds every core busy would not
        be decoded sooner anywhere. A large one finds its turn among the batches then: small ones,
        which come in batches at once, would else go first for as long as they come.
    """
    if lane.decodes:
        return None
    if plan.decoded_bytes <= _IN_BATCH_BYTES:
        alone = pool.idle() and lane.batcher.idle()
        return None if alone or not pool.spare() else Priority.PRE
    return Priority.PRE if pool.spare() else Priority.RUN
