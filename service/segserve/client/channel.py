"""Where calls go: addresses to one gRPC target, and the channel's options.

Sources: gRPC's naming document (``dns``, ``ipv4``, ``ipv6``, ``unix`` schemes), its service config
document (``round_robin``), its health checking document (``healthCheckConfig``) and
``grpc_types.h`` (channel arguments).
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Sequence

from segserve import __version__
from segserve.client.errors import unreadable

MAX_MESSAGE_BYTES = 2**31 - 1
SEGMENT = "/segserve.v1.Segmentation/Segment"
SEGMENT_STREAM = "/segserve.v1.Segmentation/SegmentStream"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"

_SERVICE = "segserve.v1.Segmentation"
_ROUND: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
_ROUND_OVER_HEALTHY = {**_ROUND, "healthCheckConfig": {"serviceName": _SERVICE}}
_SEVERAL = ("ipv4:", "ipv6:")  # what `target_of` makes of several addresses

Options = tuple[tuple[str, int | str], ...]


def channel_options(target: str = "") -> Options:
    """Give the options that the sync and the asyncio channel share.

    Parameters
    ----------
    target : str
        As `target_of` gives it. Among several servers, those are passed over that say that they
        still load their models, or are about to stop; a single one is asked whatever it says.
    """
    config = _ROUND_OVER_HEALTHY if target.startswith(_SEVERAL) else _ROUND
    return (
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.service_config", json.dumps(config)),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 5000),
        ("grpc.max_reconnect_backoff_ms", 5000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.primary_user_agent", f"segserve-client/{__version__}"),
    )


def target_of(addresses: str | Sequence[str]) -> str:
    """Turn addresses into one gRPC target; calls go round-robin over all that it resolves to.

    Parameters
    ----------
    addresses : str or sequence of str
        ``host:port``, ``[v6]:port``, ``unix:/path``, or any gRPC target when it is the only one
        (``dns:///name:port`` is looked up again whenever a connection is lost). Among several,
        names are looked up once, here.

    Raises
    ------
    SegserveError
        When an address has no port, or a name among several is unknown.
    """
    listed = [addresses] if isinstance(addresses, str) else list(addresses)
    if not listed:
        raise unreadable("no address given; expected host:port, for example localhost:8001")
    if len(listed) == 1 and (listed[0].startswith("unix:") or "://" in listed[0]):
        return listed[0]
    pairs = [_split(address) for address in listed]
    if len(listed) == 1:
        return f"dns:///{listed[0]}"
    found = [(_look_up(host), port) for host, port in pairs]
    if all(ip.version == 4 for ip, _ in found):  # noqa: PLR2004  IPv4
        return "ipv4:" + ",".join(f"{ip}:{port}" for ip, port in found)
    return "ipv6:" + ",".join(f"[{_as_v6(ip)}]:{port}" for ip, port in found)


_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    whole = host.startswith("[") == host.endswith("]") and (":" not in host or host[0] == "[")
    if not host or not whole or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise unreadable(f"'{address}' is no address; expected host:port, as localhost:8001")
    return host.strip("[]"), int(port)


def _look_up(host: str) -> _Ip:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise unreadable(f"the name '{host}' is unknown: {error}") from error
    v4_first = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
    return ipaddress.ip_address(v4_first[0][4][0])


def _as_v6(ip: _Ip) -> str:
    return f"::ffff:{ip}" if isinstance(ip, ipaddress.IPv4Address) else str(ip)
