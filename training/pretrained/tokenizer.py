"""A checkpoint's tokenizer, and how it frames a prompt: begin, end, what it is padded with, and to which length.

Knows nothing about weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import CLIPTextModel, CLIPTokenizer

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import TextSettings
from handfirst.runtime.diffusion.tokenizer_file import plain_tokenizer
from handfirst.training.pretrained.file_kinds import kind_name, one_line
from handfirst.training.pretrained.folder import read_json

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
MOST_TOKENS = 1 << 20
"""CLIP has 49,408."""
_PLACES = ("tokenizer_config.json", "special_tokens_map.json")
"""Where a folder says its special tokens; the first that names one counts, as in transformers."""


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer.json, or a folder with one, or with CLIP's vocab.json and merges.txt.

    Raises:
        UserError: none of these is there, or it is no tokenizer.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    for each in (file, path / "vocab.json", path / "merges.txt"):
        if each.is_file() and (other := kind_name(each)):
            raise UserError(f"{each}: expected a CLIP tokenizer, got {other}")
    with one_line(path, "not a CLIP tokenizer", "copy it again"):
        for each in (file, path / "vocab.json"):
            if each.is_file():
                _check_ids(read_json(each))
        if file.is_file():
            plain_tokenizer(file.read_bytes())  # raises for what the library could stop at
            return Tokenizer.from_file(str(file))
        if (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
            slow = CLIPTokenizer.from_pretrained(str(path), local_files_only=True)
            return Tokenizer.from_str(slow.backend_tokenizer.to_str())
    raise UserError(f"{path}: expected tokenizer.json, or vocab.json and merges.txt; is the download complete?")


def text_settings(path: Path, tokenizer: Tokenizer, encoder: CLIPTextModel) -> TextSettings:
    """How the pipeline of diffusers would frame a prompt: the tokens by name, and the tokenizer's own length.

    Args:
        path: where the tokenizer was read from.
        tokenizer: from `read_tokenizer`.
        encoder: the text encoder that reads the tokens.

    Raises:
        UserError: a token that the tokenizer or the encoder does not know, or no room for a prompt.
    """
    config = encoder.config
    ids = {name: _token(path, tokenizer, key) for name, key in
           (("begin", "bos_token"), ("end", "eos_token"), ("pad", "pad_token"))}  # fmt: skip
    known = max(tokenizer.get_vocab().values())
    if known >= config.vocab_size:
        raise UserError(
            f"{path}: the tokenizer has {known + 1} tokens, the text encoder knows {config.vocab_size}; "
            "give the tokenizer that belongs to the checkpoint"
        )
    length = config.max_position_embeddings
    written = _said(path, "model_max_length")
    if isinstance(written, int) and 0 < written < length:
        length = written
    if not 4 <= length <= 1024:
        raise UserError(f"{path}: expected a text encoder for 4 to 1024 tokens, got {length}; give another checkpoint")
    return TextSettings(length=length, width=config.hidden_size, **ids)


def _check_ids(said: dict[str, Any]) -> None:
    """Refuses absurd ids: the library walks through all numbers up to the largest.

    Args:
        said: a tokenizer.json, or a vocab.json, which is its vocabulary alone.

    Raises:
        ValueError: names the first of them.
    """
    model = said.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else said
    added = said.get("added_tokens")
    pairs = list(vocabulary.items()) if isinstance(vocabulary, dict) else []
    pairs += [(token.get("content"), token.get("id")) for token in added] if isinstance(added, list) else []
    for token, number in pairs:
        if type(number) is not int or not 0 <= number < MOST_TOKENS:
            raise ValueError(f"the id of {token!r:.40} is {number!r:.40}")


def _token(path: Path, tokenizer: Tokenizer, key: str) -> int:
    """The id of a special token: as the folder names it, else as CLIP's tokenizer does.

    Raises:
        UserError: it is not in the vocabulary.
    """
    written = _said(path, key)
    if key == "pad_token" and written is None and tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    name = written or (BEGIN if key == "bos_token" else END)
    found = tokenizer.token_to_id(name) if isinstance(name, str) else None
    if found is None:
        raise UserError(f"{path}: {key} {name!r:.40} is not in the vocabulary; give the checkpoint's own tokenizer")
    return int(found)


def _said(path: Path, key: str) -> Any:
    """What the files beside a tokenizer say; a token may be written as text or as an object around it."""
    folder = path if path.is_dir() else path.parent
    for place in _PLACES:
        if (folder / place).is_file():
            value = read_json(folder / place).get(key)
            if isinstance(value, dict):
                value = value.get("content")
            if value is not None:
                return value
    return None
