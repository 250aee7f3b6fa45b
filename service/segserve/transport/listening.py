"""Taking a port."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from segserve.core.errors import LoadFailed

BACKLOG = 2048


@dataclass(frozen=True)
class Listen:
    """Where to listen, and what for.

    Parameters
    ----------
    address : str
    port : int
        0 for any free one.
    what, flag : str
        For messages: the protocol, and the flag that chooses the port.
    """

    address: str
    port: int
    what: str
    flag: str

    @property
    def host(self) -> str:
        """The address as it stands before a port."""
        return f"[{self.address}]" if ":" in self.address else self.address


def bind(listen: Listen, *, reuse_port: bool = False) -> socket.socket:
    """Give a socket that listens.

    Raises
    ------
    LoadFailed
        When the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in listen.address else socket.AF_INET
    try:
        return socket.create_server(
            (listen.address, listen.port), family=family, backlog=BACKLOG, reuse_port=reuse_port
        )
    except OSError as error:
        raise cannot_listen(listen, error) from error


def cannot_listen(listen: Listen, error: Exception | str) -> LoadFailed:
    """Say which port could not be had, and what to do."""
    return LoadFailed(
        f"cannot listen for {listen.what} on {listen.host}:{listen.port}: {error}; is another "
        f"server running there? Choose another port with {listen.flag}"
    )
