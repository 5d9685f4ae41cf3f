"""SAM and BLIP inside `prepare`: pictures without masks and captions, random weights, the real way of loading them."""

from pathlib import Path

import numpy as np
import pytest
from support.painted import Painted
from support.preparing import run
from support.tiny_labellers import WORDS, write_blip, write_sam

from handfirst.engines.errors import UserError
from handfirst.training.data.example import decode
from handfirst.training.data.shards import read_shard


def test_masks_and_captions_are_made(tmp_path: Path) -> None:
    source = Painted(6, masks=False, caption=None, clean=True)
    models = {"sam": str(write_sam(tmp_path / "sam")), "captioner": str(write_blip(tmp_path / "blip"))}
    report = run(tmp_path / "out", source, val=0, smallest_mask=0, **models)
    made = report["train"]["sources"]["painted"]
    assert (made["mask"], made["caption"]) == ({"sam": 6}, {"model": 6})
    examples = [decode(*found) for found in read_shard(tmp_path / "out" / "train" / "hand-000000.tar")]
    assert {word for e in examples for word in e.caption.split()} <= set(WORDS)
    assert all(e.caption for e in examples)
    hands = [set(np.unique(e.hands)) - {0} for e in examples]
    side = {"left": {1}, "right": {2}, "both": {1, 2}}
    assert all(found <= side[e.attributes["side"]] for found, e in zip(hands, examples, strict=True))
    assert sum(map(bool, hands)) >= 3


def test_given_captions_stay_unless_all_are_to_be_written(tmp_path: Path) -> None:
    blip = str(write_blip(tmp_path / "blip"))
    for captions, origin in (("given", "given"), ("model", "model")):
        out = tmp_path / captions
        report = run(out, Painted(3, clean=True), val=0, captioner=blip, captions=captions)
        assert report["train"]["sources"]["painted"]["caption"] == {origin: 3}


def test_without_either_a_hand_is_named_and_the_report_says_so(tmp_path: Path) -> None:
    report = run(tmp_path / "out", Painted(3, caption=None, clean=True), val=0, hands="all")
    texts = {decode(*found).caption for found in read_shard(tmp_path / "out" / "train" / "hand-000000.tar")}
    assert texts == {"a left hand, fist", "a right hand, fist", "a left hand and a right hand, ok", "a left hand, palm"}
    assert "4 captions say no more than the key points do" in report["remarks"][0]


def test_a_mistyped_folder_is_told_before_the_source_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected the folder of a SAM checkpoint"):
        run(tmp_path / "out", Painted(3), sam=str(tmp_path / "nowhere"))
    assert not (tmp_path / "out").exists()
