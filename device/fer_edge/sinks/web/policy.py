"""What browsers are told about every answer: what may be loaded, who may show the page in a frame, who gets the cookie.

Nothing comes from elsewhere, and no page may frame this one, except those of origins that the settings name.
"""

from __future__ import annotations

import re

from fer_edge.contract.bounds import ORIGINS as MAX_ORIGINS
from fer_edge.errors import UsageError

SELF = "self"  # pages of the origin that the browser sees the page at: a proxy's, such as Home Assistant's ingress
_ORIGIN = re.compile(
    r"(https?)://([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*)(:\d{1,5})?"
)


def headers(frame_ancestors: tuple[str, ...]) -> dict[str, str]:
    """Of every answer.

    Args:
        frame_ancestors: origins whose pages may show this one in a frame; see ``checked_origin``.
    """
    framed_by = " ".join("'self'" if each == SELF else each for each in frame_ancestors) or "'none'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"form-action 'self'; base-uri 'none'; frame-ancestors {framed_by}"
    )
    said = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "Cache-Control": "no-store",
    }
    # the older header knows no list of origins; browsers that know both take the policy
    return said if frame_ancestors else said | {"X-Frame-Options": "DENY"}


def cookie(name: str, value: str, in_frames: bool, is_https: bool) -> str:
    """A Set-Cookie header for the folder that the page is in, below whatever path a proxy puts it.

    Args:
        name: of the cookie.
        value: of the cookie.
        in_frames: some other origin may frame the page. A browser gives a frame of another site no cookie, except one
            that says so, which it takes over https alone and keeps for this pair of sites (Partitioned).
        is_https: the browser's connection is encrypted, by what a proxy says.
    """
    site = "SameSite=None; Partitioned" if in_frames and is_https else "SameSite=Strict"
    return f"{name}={value}; HttpOnly; {site}; {'Secure; ' * is_https}Max-Age=2592000"


def checked_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """The origins as browsers write them, in lower case.

    Raises:
        UsageError: one that is none. A path, a wildcard or a whole header must not get into the policy.
    """
    if len(origins) > MAX_ORIGINS:
        raise UsageError(f"web.frame_ancestors: found {len(origins)} origins, expected at most {MAX_ORIGINS}")
    return tuple(map(_checked_origin, origins))


def _checked_origin(origin: str) -> str:
    if origin == SELF:
        return origin
    found = _ORIGIN.fullmatch(origin.lower())
    if found is None or (found[5] and not 1 <= int(found[5][1:]) <= 65_535):
        example = "http://homeassistant.local:8123"
        raise UsageError(
            f"web.frame_ancestors: found {origin!r}, expected an origin such as {example} (http or https, a name or "
            "IPv4 address, a port; no path, no *), or self"
        )
    return origin.lower()
