"""What browsers are told: which origins may frame the page, and the cookie. In Chromium: test_browser_proxy.py."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
import web_helpers as helpers

from fer_edge.contract.bundle import Bundle
from fer_edge.errors import SchemaError, UsageError
from fer_edge.sinks.web import policy
from fer_edge.sinks.web.settings import WebSettings

GOOD = (
    "http://homeassistant.local:8123",
    "https://hub.example.org",
    "http://192.168.1.20:8123",
    "self",
    "https://xn--brse-5qa.example:65535",
)
BAD = (
    "",
    "*",
    "'self'",
    "homeassistant.local:8123",
    "http://hub.example.org/",  # no origin: browsers would take it for a path
    "http://hub.example.org/page",
    "https://*.example.org",
    "http://user:password@hub.example.org",
    "http://hub.example.org:0",
    "http://hub.example.org:65536",
    "http://[::1]:8123",  # browsers match none in a policy
    "ftp://hub.example.org",
    "http://hub.example.org; script-src *",
    "http://hub.example.org http://b.example",
    "http://hub.example.org\r\nX-Evil: 1",
    "http://hub.example.org\n",
    "http://büro.example",
    "http://-hub.example",
    "http://hub..example",
)


def test_origins_are_named_one_by_one() -> None:
    for origin in GOOD:
        assert policy.checked_origins((origin.upper() if "/" in origin else origin,)) == (origin,)
    for origin in BAD:
        with pytest.raises(UsageError, match=r"^web\.frame_ancestors: found .*, expected an origin such as "):
            policy.checked_origins((origin,))
    with pytest.raises(UsageError, match="at most 16"):
        policy.checked_origins(GOOD[:1] * 17)
    with pytest.raises(SchemaError, match="frame_ancestors"):
        WebSettings(frame_ancestors=("*",))


def test_self_is_the_origin_that_a_proxy_shows_it_at() -> None:
    headers = policy.headers(("self", "https://b.example"))
    assert headers["Content-Security-Policy"].endswith("frame-ancestors 'self' https://b.example")
    assert "X-Frame-Options" not in headers


def test_every_answer_says_who_may_frame_it() -> None:
    with helpers.site(frame_ancestors=("HTTP://hub.example:8123", "https://b.example")) as web:
        for path in ("/", "/app.js", "/nowhere", "/api/status"):
            headers = helpers.ask(web.port, "GET", path)[1]
            assert headers["content-security-policy"].endswith(
                "; frame-ancestors http://hub.example:8123 https://b.example"
            )
            assert "x-frame-options" not in headers
    with helpers.site() as web:
        headers = helpers.ask(web.port, "GET", "/")[1]
        assert headers["content-security-policy"].endswith("; frame-ancestors 'none'")
        assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    ("in_frames", "is_https", "attributes"),
    [
        (False, False, {"SameSite=Strict"}),
        (False, True, {"SameSite=Strict", "Secure"}),
        (True, False, {"SameSite=Strict"}),
        (True, True, {"SameSite=None", "Partitioned", "Secure"}),
    ],
)
def test_the_cookie_goes_to_frames_of_other_sites_only_where_it_must(
    in_frames: bool, is_https: bool, attributes: set[str]
) -> None:
    value, *found = policy.cookie("a", "b", in_frames, is_https).split("; ")
    assert value == "a=b"
    assert set(found) == attributes | {"HttpOnly", "Max-Age=2592000"}  # no Path: the page's own folder


@pytest.mark.parametrize("name", ["http://pi.example.org", "pi.example.org:8080", "", "a b", "pi/fer"])
def test_names_that_no_request_could_carry_are_refused(name: str) -> None:
    with pytest.raises(SchemaError, match=r"^hosts: found .*, expected a name such as "):
        WebSettings(hosts=(name,))


def test_commands_refuse_an_origin_that_is_none(
    edge: Callable[..., subprocess.CompletedProcess[str]], one_line: Callable[..., str], bundle: Bundle
) -> None:
    source = ("--source", "synthetic://?n=9", "--bundle", bundle.path, "--web", "--web-port", 0)
    one_line(edge("run", *source, "--web-frame-ancestors", "hub:8123"), "web.frame_ancestors", "'hub:8123'")
    one_line(edge("web", "--bundle", bundle.path, "--port", 0, "--frame-ancestor", "*"), "web.frame_ancestors", "'*'")
