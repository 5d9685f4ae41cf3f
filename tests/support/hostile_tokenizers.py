"""Tokenizers made to harm: what is done to a good one, and the words that refuse it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

SPLIT = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}


def good() -> dict[str, Any]:
    """As CLIP's is made, with few tokens: a, b, ab and their forms at the end of a word."""
    tokens = ["<|startoftext|>", "<|endoftext|>", "a", "b", "a</w>", "b</w>", "ab", "ab</w>"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], **FLAGS} for i in range(2)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": {"type": "RobertaProcessing", "sep": ["x", 1], "cls": ["y", 0], "trim_offsets": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<|endoftext|>",
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": ["a b", "a b</w>"],
        },
    }


def put(*path: str | int, value: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        found: Any = copy.deepcopy(good())
        at = found
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        return json.dumps(found).encode()

    return make


def raw(data: bytes) -> Callable[[], bytes]:
    return lambda: data


NORMAL = ("normalizer", "normalizers")
SPLITS = ("pre_tokenizer", "pretokenizers")
OTHER_NORMALIZERS: tuple[dict[str, Any], ...] = (
    {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": True},
    {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, {"type": "Prepend", "prepend": "x" * 1000},
    {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Nmt"}, {"type": "NFKD"},
    {"type": "Replace", "pattern": {"Regex": "(a*)*b"}, "content": " "},
    {"type": "Replace", "pattern": {"String": ""}, "content": "x"},
    {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": "x" * 10**6},
)  # fmt: skip
OTHER_SPLITTERS: tuple[dict[str, Any], ...] = (
    {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Removed", "invert": True},
    {"type": "Split", "pattern": {"Regex": "(?:"}, "behavior": "Removed", "invert": True},
    {"type": "Split", "pattern": {"Regex": "(" * 5000}, "behavior": "Removed", "invert": True},
    {"type": "Split", "pattern": {"Regex": r"(?<=a{1,30000})b"}, "behavior": "Removed", "invert": True},
    {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": False},
    {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "MergedWithNext", "invert": True},
    {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Removed", "invert": 1},
    {"type": "Metaspace", "replacement": "", "prepend_scheme": "always", "split": True},
    {"type": "Punctuation", "behavior": "Isolated"}, {"type": "BertPreTokenizer"}, {"type": "UnicodeScripts"},
    {"type": "CharDelimiterSplit", "delimiter": "ab"}, {"type": "FixedLength", "length": 0},
)  # fmt: skip
OTHER_MODELS: tuple[dict[str, Any], ...] = (
    {"type": "Unigram", "unk_id": 7, "vocab": [["a", -1.0]], "byte_fallback": False},
    {"type": "Unigram", "unk_id": 0, "vocab": []},
    {"type": "WordPiece", "unk_token": "x", "continuing_subword_prefix": "##", "max_input_chars_per_word": 1 << 60,
     "vocab": {}},
    {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "b"}, {"type": "WordLevel", "vocab": {"a": 0}},
    {"type": ["BPE"], "vocab": {"a": 0}, "merges": []}, {"vocab": {"a": 0}},
)  # fmt: skip

TOKENIZERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (raw(b""), "got another"),
    "not UTF-8": (raw(b"\xff\xfe{}"), "got another"),
    "a list": (raw(b"[]"), "the file is list"),
    "nothing in it": (raw(b"{}"), "model is NoneType"),
    "nested": (raw(b"[" * 200_000), "nested too deeply"),
    "a number of 5000 digits": (raw(b'{"model": ' + b"9" * 5000 + b"}"), "got another"),
    "NaN": (put("model", "dropout", value=float("nan")), "NaN is no number"),
    "a program": (raw(b"\x7fELF" + bytes(99)), "got another"),
    **{
        f"normalizer {i}: {part['type']}": (put(*NORMAL, 1, value=part), "normalizer")
        for i, part in enumerate(OTHER_NORMALIZERS)
    },
    **{
        f"splitter {i}: {part['type']}": (put(*SPLITS, 0, value=part), "pre_tokenizer")
        for i, part in enumerate(OTHER_SPLITTERS)
    },
    **{
        f"model {i}: {part.get('type')}": (put("model", value=part), "got another")
        for i, part in enumerate(OTHER_MODELS)
    },
    "a sequence in a sequence": (
        put(*NORMAL, 0, value={"type": "Sequence", "normalizers": []}), "normalizer of type 'Sequence'",
    ),
    "a thousand parts": (put(*NORMAL, value=[{"type": "NFC"}] * 1000), "1000 parts"),
    "a part that is none": (put(*NORMAL, 0, value=7), "normalizer is int"),
    "an unknown field": (put(*SPLITS, 1, "seed", value=1), "'seed'"),
    "dropout": (put("model", "dropout", value=0.5), "with dropout"),
    "dropout of text": (put("model", "dropout", value="x"), "with dropout"),
    "bytes where nothing fits": (put("model", "byte_fallback", value=True), "with byte_fallback"),
    "a prefix": (put("model", "continuing_subword_prefix", value="##"), "other prefixes or suffixes"),
    "a prefix that cuts a letter": (put("model", "continuing_subword_prefix", value="ü"), "other prefixes"),
    "a suffix of its own": (put("model", "end_of_word_suffix", value="x" * 10**5), "other prefixes or suffixes"),
    "a suffix that is none": (put("model", "end_of_word_suffix", value=["</w>"]), "other prefixes or suffixes"),
    "an unknown unk_token": (put("model", "unk_token", value="nobody"), "unk_token"),
    "no tokens": (put("model", "vocab", value={}), "a vocabulary of 0 tokens"),
    "a list of tokens": (put("model", "vocab", value=["a"]), "vocab is list"),
    "a number beyond 32 bits": (put("model", "vocab", "a", value=1 << 40), "with the number"),
    "a negative number": (put("model", "vocab", "a", value=-1), "with the number"),
    "half a number": (put("model", "vocab", "a", value=2.5), "with the number"),
    "true for a number": (put("model", "vocab", "a", value=True), "with the number"),
    "a number far away": (put("model", "vocab", "a", value=(1 << 32) - 1), "with the number"),
    "one number twice": (put("model", "vocab", "a", value=3), "two tokens with one number"),
    "a token without letters": (put("model", "vocab", "", value=9), "with the number"),
    "a token of a megabyte": (put("model", "vocab", "x" * 10**6, value=9), "with the number"),
    "half a surrogate pair": (put("model", "vocab", "\ud800", value=9), "got another"),
    "merges of nothing": (put("model", "merges", value=[["", "a"]]), "what is no token"),
    "merges to nothing": (put("model", "merges", value=[["b", "a"]]), "what is no token"),
    "merges of strangers": (put("model", "merges", value=["x y"]), "what is no token"),
    "merges of three": (put("model", "merges", value=[["a", "b", "a"]]), "expected two tokens"),
    "merges of one": (put("model", "merges", value=["ab"]), "expected two tokens"),
    "merges of numbers": (put("model", "merges", value=[[1, 2]]), "expected two tokens"),
    "no merges": (put("model", "merges", value=None), "merges"),
    "an object of merges": (put("model", "merges", value={}), "merges"),
    "an added token without letters": (put("added_tokens", 0, "content", value=""), "an added token ''"),
    "an added token of spaces": (put("added_tokens", 0, "content", value="  "), "an added token ' '"),
    "an added token of a megabyte": (put("added_tokens", 0, "content", value="x" * 10**6), "an added token"),
    "an added token far away": (put("added_tokens", 0, "id", value=(1 << 32) - 1), "with the number"),
    "an added token of another number": (put("added_tokens", 0, "id", value=5), "with the number 5"),
    "an added token with text for a flag": (put("added_tokens", 0, "special", value="yes"), "with other fields"),
    "an added token with more": (put("added_tokens", 0, "evil", value=True), "with other fields"),
    "an added token that is none": (put("added_tokens", 0, value=7), "an added token is int"),
    "an added token with a list": (put("added_tokens", 0, "content", value=["x"]), "an added token ['x']"),
    "ten thousand added tokens": (
        put("added_tokens", value=[{"id": 9 + i, "content": f"t{i}", **FLAGS} for i in range(10_000)]), "at most 1000",
    ),
}  # fmt: skip
"""Refused before the tokenizers library sees them."""

LEFT_OUT: dict[str, Callable[[], bytes]] = {
    "a frame that is none": put("post_processor", value={"type": "TemplateProcessing", "single": [{"X": 1}]}),
    "a frame of a number": put("post_processor", value=7),
    "a decoder with an expression": put("decoder", value={"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
    "padding to a billion": put("padding", value={"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_id": 0,
                                                  "pad_type_id": 0, "pad_token": "x", "pad_to_multiple_of": 0}),
    "truncation that divides by 0": put("truncation", value={"max_length": 0, "stride": 10**9, "strategy": "OnlyFirst",
                                                             "direction": "Left"}),
    "another version": put("version", value="99"),
    "something more": put("surprise", value=[1]),
}  # fmt: skip
"""What is hostile in them does not encode prompts, and never reaches the library."""
