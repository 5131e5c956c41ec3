"""Who can reach a server, and whether it may start there without asking anybody who they are."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Literal

from backtest.errors import InputError
from tasks.settings import PREFIX, Settings

# `open`: nobody is asked. `closed`: everybody is. `auto`: everybody is once a token was created.
AccessMode = Literal["open", "closed", "auto"]

_SHORTEST_KEY = 32  # characters
_REMEDY = (
    f"can be reached from the network, and nobody would be asked who they are; set {PREFIX}AUTH="
    "token, or create a token with `stock-backtest token create`, or bind 127.0.0.1 "
    f"({PREFIX}AUTH=dangerously-open lets everybody in)"
)


def split_bind(bind: str) -> tuple[str, str]:
    """Return host and port of ``host:port``; the brackets of an IPv6 address are left out."""
    text = bind.strip()
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdigit() or (":" in host and not host.endswith("]")):
        host, port = text, ""
    return host.removeprefix("[").removesuffix("]"), port


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server on `host`.

    What is not surely loopback is not: an empty host is every address, another name may resolve to
    anything, and ``127.1`` is for whoever parses it to read.
    """
    name = host.strip().lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_from_here(host: str, peer: str, forwarded: str) -> bool:
    """Return whether a request asks for this machine and comes from it, by all that it tells.

    Parameters
    ----------
    host : str
        Its Host name without the port.
    peer : str
        Address at the other end of the connection; empty for a local socket.
    forwarded : str
        Its ``X-Forwarded-For``, by which a proxy on this machine names whom it asks for.
    """
    hops = [hop.strip() for hop in (peer, *forwarded.split(","))]
    return is_loopback(host.strip("[]")) and all(is_loopback(hop) for hop in hops if hop)


def is_local_bind(bind: str) -> bool:
    """Return whether every address that `bind` lists is loopback or a local socket."""
    return all(
        part.strip().startswith("unix:") or is_loopback(split_bind(part)[0])
        for part in bind.split(",")
    )


def choose_mode(settings: Settings, bind: str) -> AccessMode:
    """Return who is asked for a token by a server on `bind`; in doubt everybody."""
    if settings.auth == "dangerously-open":
        return "open"
    if settings.auth == "token" or not is_local_bind(bind):
        return "closed"
    return "auto"


def check_exposure(
    settings: Settings, field: str, bind: str, tokens_exist: Callable[[], bool]
) -> AccessMode:
    """Refuse to open a server to the network for everybody.

    Parameters
    ----------
    field : str
        Where `bind` comes from, for the message.
    tokens_exist : callable
        Asked only if the answer depends on it.

    Raises
    ------
    InputError
        Naming field, value and remedy.
    """
    mode = choose_mode(settings, bind)
    if mode == "closed" and settings.auth == "auto" and not tokens_exist():
        raise InputError.of(field, bind, _REMEDY)
    return mode


def check_secret_key(settings: Settings, mode: AccessMode) -> None:
    """Refuse to serve logins without a key, or with one that can be guessed.

    Replicas must share it, so it cannot be made up here.

    Raises
    ------
    InputError
        Without repeating the key.
    """
    if mode != "closed" and not settings.secret_key:
        return
    if len(settings.secret_key) < _SHORTEST_KEY and mode != "open":
        raise InputError.of(
            f"{PREFIX}SECRET_KEY",
            "(hidden)" if settings.secret_key else None,
            f"signs the cookies of logins and needs {_SHORTEST_KEY} characters, the same on every "
            "replica; make one with `openssl rand -base64 32`",
        )
