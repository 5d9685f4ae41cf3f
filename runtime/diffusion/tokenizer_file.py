"""Which tokenizers are opened: those made of the few components that CLIP-like ones have, checked as plain JSON.

The tokenizers library takes any regular expression and any combination of parts; on some files it panics, ends the
process or never returns. It is given a file written anew with the parts that encode a prompt and no others. Knows
nothing about models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

MOST_BYTES = 1 << 26
MOST_TOKENS = 1 << 20
MOST_ADDED = 1000
LONGEST_TOKEN = 256
"""Characters."""

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
PATTERNS = (_WORDS, rf"<\|startoftext\|>|<\|endoftext\|>|{_WORDS}")
"""How CLIP's words are told apart; the only expressions that a file may hold, as others can take for ever."""

_BYTES = {"add_prefix_space": (True, False), "trim_offsets": (True, False), "use_regex": (True, False)}
_SPACES = {"pattern": ({"Regex": r"\s+"},), "content": (" ",)}
_SPLIT = {
    "pattern": tuple({"Regex": each} for each in PATTERNS),
    "behavior": ("Removed", "Isolated"),
    "invert": (True, False),
}
NORMALIZERS: Mapping[str, Mapping[str, Sequence[Any]]] = {"NFC": {}, "Lowercase": {}, "Replace": _SPACES}
SPLITTERS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "ByteLevel": _BYTES,
    "Split": _SPLIT,
    "Whitespace": {},
    "WhitespaceSplit": {},
}
"""By type: every field, and what it may be."""

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def plain_tokenizer(data: bytes) -> str:
    """The JSON of a tokenizer that encodes as that of `data`; its truncation, padding, frame and decoder are left out.

    Raises:
        ValueError: in a few words, what is not as CLIP-like tokenizers have it.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES} bytes, got {len(data)}")
    try:
        found = json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    fields = _object(found, "the file")
    model = _model(_object(fields.get("model"), "model"))
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": _added(fields.get("added_tokens") or [], model["vocab"]),
            "normalizer": _parts(fields.get("normalizer"), "normalizer", "normalizers", NORMALIZERS),
            "pre_tokenizer": _parts(fields.get("pre_tokenizer"), "pre_tokenizer", "pretokenizers", SPLITTERS),
            "post_processor": None,
            "decoder": None,
            "model": model,
        }
    )


def _parts(
    found: Any, where: str, several: str, known: Mapping[str, Mapping[str, Sequence[Any]]], deep: bool = False
) -> Any:
    if found is None:
        return None
    part = _object(found, where)
    kind = part.get("type")
    if kind == "Sequence" and not deep and set(part) == {"type", several} and isinstance(part[several], list):
        if len(part[several]) > 10:
            raise ValueError(f"{where} has {len(part[several])} parts, expected at most 10")
        return {"type": kind, several: [_parts(each, where, several, known, True) for each in part[several]]}
    if not isinstance(kind, str) or kind not in known:
        raise ValueError(f"{where} of type {kind!r:.60}, expected {', '.join(known)}")
    for name, value in part.items():
        allowed = ("type",) if name == "type" else known[kind].get(name, ())
        if name != "type" and not any(type(value) is type(each) and value == each for each in allowed):
            raise ValueError(f"{where} {kind} with {name[:40]!r} {value!r:.60}")
    return part


def _model(model: dict[str, Any]) -> dict[str, Any]:
    kind = model.get("type", "BPE" if "merges" in model else None)  # CLIP's own files do not say
    if kind not in ("BPE", "WordLevel"):
        raise ValueError(f"a model of type {kind!r:.60}, expected BPE")
    vocabulary = _vocabulary(_object(model.get("vocab"), "vocab"))
    unknown = model.get("unk_token")
    if unknown is not None and (not isinstance(unknown, str) or unknown not in vocabulary):
        raise ValueError("an unk_token that is no token")
    if kind == "WordLevel":
        if unknown is None:
            raise ValueError("a WordLevel model without unk_token")
        return {"type": kind, "vocab": vocabulary, "unk_token": unknown}
    for name in ("dropout", "byte_fallback"):
        if model.get(name):
            raise ValueError(f"a model with {name}")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix") not in (None, "", "</w>"):
        raise ValueError("a model with other prefixes or suffixes than CLIP's")
    flags = {name: bool(model.get(name)) for name in ("fuse_unk", "ignore_merges")}
    return {
        "type": kind,
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": model.get("end_of_word_suffix"),
        **flags,
        "byte_fallback": False,
        "vocab": vocabulary,
        "merges": _merges(model.get("merges"), vocabulary),
    }


def _vocabulary(vocabulary: dict[str, Any]) -> dict[str, int]:
    if not 0 < len(vocabulary) <= MOST_TOKENS:
        raise ValueError(f"a vocabulary of {len(vocabulary)} tokens, expected 1 to {MOST_TOKENS}")
    for token, number in vocabulary.items():
        if not token or len(token) > LONGEST_TOKEN or type(number) is not int or not 0 <= number < MOST_TOKENS:
            raise ValueError(f"a token {token[:40]!r} with the number {number!r:.40}")
    if len(set(vocabulary.values())) != len(vocabulary):
        raise ValueError("two tokens with one number")
    return vocabulary


def _merges(merges: Any, vocabulary: Mapping[str, int]) -> list[list[str]]:
    """Pairs, or texts of two tokens with a space between them; what they make is a token."""
    if not isinstance(merges, list) or len(merges) > MOST_TOKENS:
        raise ValueError(f"expected a list of at most {MOST_TOKENS} merges")
    pairs = []
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(t, str) for t in pair):
            raise ValueError(f"a merge {merge!r:.60}, expected two tokens")
        if not vocabulary.keys() >= {*pair, "".join(pair)}:
            raise ValueError(f"a merge {merge!r:.60} of, or to, what is no token")
        pairs.append(pair)
    return pairs


def _added(tokens: Any, vocabulary: Mapping[str, int]) -> list[dict[str, Any]]:
    if not isinstance(tokens, list) or len(tokens) > MOST_ADDED:
        raise ValueError(f"expected a list of at most {MOST_ADDED} added tokens")
    for token in tokens:
        _object(token, "an added token")
        content, number = token.get("content"), token.get("id")
        if not isinstance(content, str) or not 0 < len(content) <= LONGEST_TOKEN or content.isspace():
            raise ValueError(f"an added token {content!r:.60}")
        if type(number) is not int or not 0 <= number < MOST_TOKENS or vocabulary.get(content, number) != number:
            raise ValueError(f"an added token {content!r:.60} with the number {number!r:.40}")
        if token.keys() != {"id", "content", *_FLAGS} or not all(type(token[flag]) is bool for flag in _FLAGS):
            raise ValueError(f"an added token {content!r:.60} with other fields than {', '.join(_FLAGS)}")
    return tokens


def _object(found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"{where} is {type(found).__name__}, expected an object")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")
