"""Who may ask the web server for what. Pure functions over a request's headers, and the token.

Threats: other machines of the network; other web pages open in the user's own browser (cross-site requests, and
DNS rebinding, where a page's name is made to point here); guessing.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from fer_edge.contract import bounds
from fer_edge.errors import UsageError

LEAST_TOKEN = 16  # characters of a token that a user chose
_KEY = secrets.token_bytes(32)  # of this run
OWN_HEADER = "X-Fer-Edge"  # a page of another site cannot send it without asking first, and we never allow


class Token:
    """What a visitor has to know; the cookie is derived from it, so that it does not give the token away.

    Args:
        text: the token; "" makes a new one of 192 bits.

    Raises:
        UsageError: a token that is too short.
    """

    text: str
    cookie: str

    def __init__(self, text: str = "") -> None:
        if text and not (LEAST_TOKEN <= len(text) <= bounds.TOKEN_CHARS and text.isascii() and text.isprintable()):
            raise UsageError(
                f"web.token_file: expected {LEAST_TOKEN} to {bounds.TOKEN_CHARS} plain characters; "
                "make one: openssl rand -hex 16"
            )
        self.text = text or secrets.token_urlsafe(24)
        self.cookie = hmac.new(self.text.encode(), b"fer-edge cookie", hashlib.sha256).hexdigest()

    def matches(self, given: str) -> bool:
        """Whether a visitor's text is the token."""
        return same(given, self.text)

    def admits(self, headers: Message[str, str], cookie_name: str) -> bool:
        """Whether a request carries the cookie, or the token as ``Authorization: Bearer``."""
        kind, _, given = headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.matches(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("Cookie", "")).get(cookie_name)
        except CookieError:
            return False
        return cookie is not None and same(cookie.value, self.cookie)


def same(given: str, secret: str) -> bool:
    """Whether a visitor's text is the secret; the time it takes tells nothing of the secret, its length included.

    Digests of one length are compared, under a key that nobody knows: a visitor cannot work towards one either.
    """
    pair = [hmac.digest(_KEY, text.encode("utf-8", "replace"), "sha256") for text in (given, secret)]
    return hmac.compare_digest(*pair)


def is_own_address(address: str) -> bool:
    """Whether only this machine itself can reach an address it listens on."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def host_is_known(host: str | None, names: tuple[str, ...]) -> bool:
    """Whether a Host header names this server: an address, this machine's name, or one of ``names``.

    A page that rebinds its own name to this machine sends that name. An address cannot be rebound.
    """
    if not host or len(host) > bounds.HOST_CHARS or any(c in host for c in "/@\\?# "):
        return False
    try:
        name = urlsplit(f"//{host}").hostname
        _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    if not name:
        return False
    own = socket.gethostname().lower()
    if name in {"localhost", own, f"{own}.local", *(known.lower() for known in names)}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_cross_site(headers: Message[str, str], navigates: bool) -> bool:
    """Whether another site's page sent the request, by what browsers say of it.

    Args:
        headers: of the request.
        navigates: the request is for a page, which a link elsewhere may lead to.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return not (navigates and headers.get("Sec-Fetch-Mode") == "navigate")
    return False


def may_change(headers: Message[str, str], own_header: bool = True) -> bool:
    """Whether a POST comes from our own page, or from a program.

    Args:
        headers: of the request.
        own_header: ask for ``X-Fer-Edge`` too; a plain form cannot send it.
    """
    if own_header and headers.get(OWN_HEADER) is None:
        return False
    if is_cross_site(headers, navigates=False):
        return False
    origin = headers.get("Origin")
    return origin is None or origin == f"http://{headers.get('Host')}" or origin == f"https://{headers.get('Host')}"
