"""Which requests are answered at all, and what browsers may do with the answers.

The same in every mode; who asks is a matter of `webapp.access`. A loopback server is reachable from
every page its user visits: without a Host check a foreign name that resolves to 127.0.0.1 reads it
(DNS rebinding), without an Origin check a foreign form writes to it (cross-site request forgery).
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from flask import Flask, Response, request

from tasks.settings import Settings
from webapp.problems import ProblemError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OWN_SITES = frozenset({"same-origin", "none"})  # `none` is the user's own address bar

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # the charts are data URLs
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "object-src 'none'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(
        f"{name}=()"
        for name in (
            *("camera", "display-capture", "geolocation", "hid", "microphone", "midi", "payment"),
            *("publickey-credentials-get", "screen-wake-lock", "serial", "usb"),
        )
    ),
}
# A year, and only where the answer travels over https: elsewhere browsers ignore it, and a laptop
# that is its own host must not be told that it has https for ever.
_STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"


def add_security(app: Flask, settings: Settings) -> None:
    """Check Host and Origin before every request, set the headers after it."""
    configured = frozenset(
        name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()
    )
    hosts = _LOOPBACK | configured | {split_port(settings.bind)}

    def check() -> None:
        check_host(request.headers.get("Host", ""), hosts)
        if request.method in WRITES:
            check_origin(
                request.headers.get("Origin"),
                request.headers.get("Sec-Fetch-Site"),
                request.headers.get("Host", ""),
                configured,
                secure=is_secure(),
            )

    app.before_request(check)
    app.after_request(_add_headers)


def split_port(host: str) -> str:
    """Return the lower-case host name of ``name:port``; an IPv6 address keeps its brackets."""
    name, separator, port = host.strip().lower().rpartition(":")
    return name if separator and port.isdigit() and not name.endswith(":") else host.strip().lower()


def check_host(host: str, allowed: frozenset[str]) -> None:
    """Refuse a Host header that names somebody else.

    Raises
    ------
    ProblemError
        400 with the setting that allows more names.
    """
    name = split_port(host)
    if name not in allowed and host.strip().lower() not in allowed:
        raise ProblemError(
            400,
            f"this server does not answer for the host {name[:100]!r}; "
            "name it in STOCK_BACKTEST_ALLOWED_HOSTS if it should",
        )


def check_origin(
    origin: str | None,
    fetch_site: str | None,
    host: str,
    configured: frozenset[str],
    *,
    secure: bool = False,
) -> None:
    """Refuse a write that a page of another origin sends.

    Browsers send at least one of both headers with every write; a request with neither comes from
    a program, which no foreign page controls.

    Raises
    ------
    ProblemError
        403.
    """
    if origin is not None:
        sender = read_origin(origin)
        # Behind a proxy that rewrites Host, the public name is one of the configured ones.
        is_own = sender == host.strip().lower() or sender in configured
        # A page of plain http may be from whoever is on the way.
        is_weaker = secure and not origin.lower().startswith("https://")
        if sender is not None and is_own and not is_weaker:
            return
        raise ProblemError(403, f"writes from the origin {origin[:100]!r} are refused")
    if fetch_site is not None and fetch_site.lower() not in _OWN_SITES:
        raise ProblemError(403, f"writes from another site are refused ({fetch_site[:40]})")


def read_origin(origin: str) -> str | None:
    """Return ``name[:port]`` of a web origin in lower case, None for ``null`` and anything else."""
    try:
        parts = urlsplit(origin)
    except ValueError:  # an unclosed bracket
        return None
    return parts.netloc.lower() or None if parts.scheme in ("http", "https") else None


def is_secure() -> bool:
    """Return whether the current request came over https, in the word of a trusted proxy."""
    return request.is_secure


def find_client(settings: Settings) -> str:
    """Return the network address that the current request comes from.

    Trusted proxies add the address that they were asked from at the end of a list; what stands
    before the last one that is not itself a proxy may be invented.
    """
    peer = request.remote_addr or ""
    hops = [*request.headers.get("X-Forwarded-For", "").split(","), peer]
    for hop in reversed(hops):
        text = hop.strip()
        if text and not _is_trusted(text, settings.trusted_proxies):
            try:
                return str(ipaddress.ip_address(text))
            except ValueError:  # not what a proxy writes
                break
    return peer


def _is_trusted(address: str, proxies: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
        return any(
            ip in ipaddress.ip_network(item.strip(), strict=False)
            for item in (proxies or "127.0.0.0/8,::1").split(",")
        )
    except ValueError:
        return False


def _add_headers(response: Response) -> Response:
    if response.status_code == 304:  # the client keeps the headers of what it holds
        return response
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if is_secure():
        response.headers["Strict-Transport-Security"] = _STRICT_TRANSPORT
    return response
