"""Which of the versions on disk are served."""

from __future__ import annotations

from collections.abc import Iterable

from segserve.repository.model_config import VersionPolicy


def choose_versions(policy: VersionPolicy | None, available: Iterable[int]) -> tuple[int, ...]:
    """Apply a version policy.

    Parameters
    ----------
    policy : VersionPolicy, optional
        None, or an empty one: the latest version alone.
    available : iterable of int

    Returns
    -------
    tuple of int
        Rising. Of ``specific`` versions those that are there; empty when none is.
    """
    versions = sorted(set(available))
    if policy is not None and policy.all is not None:
        return tuple(versions)
    if policy is not None and policy.specific is not None:
        wanted = set(policy.specific.versions)
        return tuple(version for version in versions if version in wanted)
    latest = policy.latest if policy is not None else None
    count = max(1, latest.num_versions) if latest is not None else 1
    return tuple(versions[-count:])
