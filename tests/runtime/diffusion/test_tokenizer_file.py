"""Tokenizers of strangers: those like CLIP's encode as the library alone would, others are refused in one line."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hostile_tokenizers import LEFT_OUT, TOKENIZERS, good
from tokenizers import Tokenizer

from handfirst.engines.bundle import demo_bundle_path
from handfirst.engines.errors import BundleError
from handfirst.runtime.diffusion import text
from handfirst.runtime.diffusion.settings import TextSettings
from handfirst.runtime.diffusion.text import open_tokenizer, token_ids
from handfirst.runtime.diffusion.tokenizer_file import plain_tokenizer

SETTINGS = TextSettings(length=8, width=2, begin=0, end=1, pad=1)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_hostile_one_never_reaches_the_library(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, message = TOKENIZERS[kind]
    if kind != "half a surrogate pair":  # that one is refused by the library, in peace
        monkeypatch.setattr(text, "Tokenizer", None)
    with pytest.raises(BundleError) as caught:
        open_tokenizer(make(), SETTINGS)
    said = str(caught.value)
    assert message in said and said.isprintable() and len(said) <= 400, said


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_does_not_encode_is_left_out(kind: str) -> None:
    assert list(token_ids(open_tokenizer(LEFT_OUT[kind](), SETTINGS), "ab b", SETTINGS)[0]) == [0, 7, 5, 1, 1, 1, 1, 1]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_tokens_are_those_of_the_library_alone(prompt: str) -> None:
    for data in (json.dumps(good()), (demo_bundle_path() / "tokenizer.json").read_text(encoding="utf-8")):
        if prompt.isascii() or "\ud800" not in prompt:
            ours = Tokenizer.from_str(plain_tokenizer(data.encode())).encode(prompt, add_special_tokens=False)
            assert ours.ids == Tokenizer.from_str(data).encode(prompt, add_special_tokens=False).ids


def test_a_book_for_a_prompt_takes_a_moment() -> None:
    opened = open_tokenizer(json.dumps(good()).encode(), SETTINGS)
    begin = time.perf_counter()
    for book in ("ab" * 5_000_000, "a " * 5_000_000):
        ids, dropped = token_ids(opened, book, SETTINGS)
        assert ids[0] == 0 and ids[-1] == 1 and 0 < dropped <= text.LONGEST
    assert time.perf_counter() - begin < 20


def test_a_panic_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        pass

    class Library:
        @staticmethod
        def from_str(_: str) -> Any:
            raise Panic("called `Option::unwrap()` on a `None` value\n")

    monkeypatch.setattr(text, "Tokenizer", Library)
    with pytest.raises(BundleError, match="unwrap"):
        open_tokenizer(json.dumps(good()).encode(), SETTINGS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_is_refused_in_one_line_or_opens(data: st.DataObject) -> None:
    found: Any = good()
    at, key = found, data.draw(st.sampled_from(sorted(found)))
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    at[key] = data.draw(JSON)
    try:
        opened = open_tokenizer(json.dumps(found).encode(), SETTINGS)
    except BundleError as error:
        assert str(error).isprintable() and len(str(error)) <= 400
    else:
        token_ids(opened, "ab b", SETTINGS)
