"""Token ids against the tokenizer's own words; contexts with an engine that counts its calls."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_engine import FakeEngine
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from handfirst.engines.errors import BundleError
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime.diffusion.settings import TextSettings
from handfirst.runtime.diffusion.text import Text, open_tokenizer, token_ids

WORDS = ["<begin>", "<end>", "<unknown>", "a", "left", "hand", "waves"]
SETTINGS = TextSettings(length=8, width=2, begin=0, end=1, pad=1)
SPEC = EngineSpec(
    inputs=(TensorSpec(name="ids", dtype="int64", shape=("batch", 8)),),
    outputs=(TensorSpec(name="context", dtype="float32", shape=("batch", 8, 2)),),
)


def tokenizer_json():
    model = models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unknown>")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=30)
    return tokenizer.to_str().encode()


class Counter:
    def __init__(self):
        self.seen = []

    def __call__(self, inputs):
        self.seen.append(inputs["ids"].copy())
        return {"context": np.stack([inputs["ids"], -inputs["ids"]], -1).astype(np.float32)}


def text():
    counter = Counter()
    return Text(tokenizer_json(), SETTINGS, FakeEngine(SPEC, "text_encoder", counter)), counter


def ids(prompt):
    return token_ids(open_tokenizer(tokenizer_json(), SETTINGS), prompt, SETTINGS)


def test_framed_and_padded():
    array, dropped = ids("A left hand")
    np.testing.assert_array_equal(array, [0, 3, 4, 5, 1, 1, 1, 1])
    assert array.dtype == np.int64
    assert dropped == 0


def test_the_empty_prompt_is_begin_end_and_pads():
    np.testing.assert_array_equal(ids("")[0], [0, 1, 1, 1, 1, 1, 1, 1])


def test_exactly_full_and_too_long():
    array, dropped = ids("a a a a a hand")
    np.testing.assert_array_equal(array, [0, 3, 3, 3, 3, 3, 5, 1])
    assert dropped == 0
    array, dropped = ids("a a a a a hand waves left")
    np.testing.assert_array_equal(array, [0, 3, 3, 3, 3, 3, 5, 1])
    assert dropped == 2


@given(words=st.lists(st.sampled_from([*WORDS[3:], "zebra"]), max_size=20), space=st.sampled_from([" ", "\n", "\t  "]))
def test_always_one_frame_of_one_length(words, space):
    array, dropped = ids(space.join(words))
    assert array.shape == (8,)
    assert array[0] == 0
    assert dropped == max(0, len(words) - 6)
    assert array[min(len(words), 6) + 1] == 1
    np.testing.assert_array_equal(array, ids(" ".join(words))[0])


def test_contexts_are_stacked_in_order():
    model, counter = text()
    contexts = model.contexts(["a hand", "", "a hand"])
    assert contexts.shape == (3, 8, 2)
    assert contexts.dtype == np.float32
    np.testing.assert_array_equal(contexts[0, :, 0], [0, 3, 5, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(contexts[0], contexts[2])
    assert len(counter.seen) == 2
    assert all(seen.shape == (1, 8) for seen in counter.seen)


def test_a_repeated_prompt_is_not_encoded_again_and_cannot_be_spoilt():
    model, counter = text()
    first = model.contexts(["a hand"])
    first[:] = 99
    second = model.contexts(["a hand"])
    assert len(counter.seen) == 1
    assert second.max() < 99


def test_a_warning_per_long_prompt():
    model, _ = text()
    lines = model.warnings(["a hand", "a\n" * 20, "a\n" * 20, ""])
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert "20 tokens" in lines[0]
    assert "first 6" in lines[0]


@pytest.mark.parametrize("data", [b"", b"{}", b"not json", b"\xff\xfe", json.dumps({"model": 3}).encode()])
def test_a_broken_tokenizer_is_one_line(data):
    with pytest.raises(BundleError, match="tokenizer") as caught:
        open_tokenizer(data, SETTINGS)
    assert "\n" not in str(caught.value)


def test_ids_that_the_vocabulary_lacks():
    with pytest.raises(BundleError, match="end token 49407"):
        open_tokenizer(tokenizer_json(), TextSettings(length=8, width=2, begin=0, pad=1))
