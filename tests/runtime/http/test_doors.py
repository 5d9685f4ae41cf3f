"""Who gets in."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfirst.engines.errors import UserError
from handfirst.runtime.http.doors import LOCAL, Doors, Guard, hosts_of, is_loopback, read_tokens

TOKENS = ("a-token-of-sixteen", "another-token-0123")


def ask(doors, method="GET", path="/v1/jobs", client=("1.2.3.4", 5), **headers):
    """Status, or who it is."""
    reached, sent = [], []

    async def app(scope, receive, send):
        reached.append(scope["client_name"])

    async def send(message):
        sent.append(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in {"host": "localhost:8700", **headers}.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "client": client}
    asyncio.run(Guard(app, doors)(scope, None, send))
    if reached:
        return reached[0]
    assert "error" in json.loads(sent[1]["body"])
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("host", "enters"),
    [
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("127.0.0.1:8700", True),
        ("[::1]:8700", True),
        ("[::1]", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:8700", False),
        ("localhost:x", False),
        ("127.0.0.2", False),
        ("", False),
    ],
)
def test_hosts(host, enters):
    assert ask(Doors(), host=host) == ("1.2.3.4" if enters else 421)
    assert ask(Doors(hosts=()), host=host) == "1.2.3.4"


@pytest.mark.parametrize(
    ("origin", "enters"),
    [
        ("http://localhost:8700", True),
        ("https://app.example", True),
        ("http://localhost", False),
        ("http://localhost:8701", False),
        ("http://app.example", False),
        ("https://app.example.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_origins(origin, enters):
    doors = Doors(origins=("https://app.example",))
    assert ask(doors, "POST", origin=origin) == ("1.2.3.4" if enters else 403)
    assert ask(doors, "GET", origin=origin) == "1.2.3.4"


def test_tokens_tell_clients_apart():
    doors = Doors(tokens=TOKENS)
    first, second = (ask(doors, authorization=f"Bearer {token}") for token in TOKENS)
    assert isinstance(first, str) and isinstance(second, str) and first != second
    assert first == ask(doors, authorization=f"bearer {TOKENS[0]} ") == ask(doors, authorization=f"BEARER {TOKENS[0]}")
    assert ask(doors, path="/healthz") == "1.2.3.4"
    assert ask(doors, path="/metrics") == ask(doors, path="/v1/capabilities") == 401
    assert TOKENS[0] not in first


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_nothing_else_enters(given):
    if given.strip() not in [f"{word} {token}" for word in ("Bearer", "bearer") for token in TOKENS]:
        assert ask(Doors(tokens=TOKENS), authorization=given) == 401


def test_a_server_answers_to_the_names_that_it_has():
    assert hosts_of("127.0.0.1", ()) == hosts_of("::1", ()) == hosts_of("localhost", ()) == LOCAL
    assert hosts_of("0.0.0.0", ()) == ()
    assert hosts_of("0.0.0.0", ("Paint.example",)) == (*LOCAL, "paint.example")
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "0.0.0.0", "::", "example.org")] == [True] * 2 + [
        False
    ] * 3


class TestTokenFiles:
    def test_lines_and_the_environment(self, tmp_path):
        (tmp_path / "t").write_text(f"{TOKENS[0]}\n\n{TOKENS[0]}\n")
        assert read_tokens(tmp_path / "t", {"HANDFIRST_TOKENS": TOKENS[1]}) == TOKENS
        assert read_tokens(None, {}) == ()

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            (b"", "expected a token on every line, found none"),
            (b"short", "token 1: expected 16 or more ASCII characters"),
            ("a-token-of-sixteen\nein-schlüssel-mit-umlaut".encode(), "token 2: expected 16 or more ASCII"),
            (b"\xff" * 20, "expected tokens in ASCII"),
        ],
    )
    def test_files_that_hold_none(self, tmp_path, content, line):
        (tmp_path / "t").write_bytes(content)
        with pytest.raises(UserError, match=line) as caught:
            read_tokens(tmp_path / "t", {})
        assert "schl" not in str(caught.value)  # what is said of a secret goes into logs
