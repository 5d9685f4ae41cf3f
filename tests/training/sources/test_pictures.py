"""Pixels of files: their turn, their sizes, their masks, and what is said of those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.dataset_truth import save, spoil
from support.more_datasets import write_folder

from handfirst.engines.errors import UserError
from handfirst.training.data.procedural.sample import sample_person
from handfirst.training.data.record import Record, UnreadableError
from handfirst.training.data.sources.opening import open_source
from handfirst.training.data.sources.pictures import ImageFile, MaskFile, TarImage, sides_of
from handfirst.training.data.sources.procedural import Procedural


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_colours_and_sizes(suffix: str, tmp_path: Path) -> None:
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[:, :, 0], rgb[:, :, 2] = 200, 40
    image = ImageFile(save(tmp_path / f"a{suffix}", rgb))
    assert image.size() == (30, 20)
    assert np.abs(image.read().astype(int) - rgb).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_read_as_pillow_turns_it(orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path, exif=exif)
    with Image.open(path) as stored:
        turned = np.asarray(ImageOps.exif_transpose(stored))
    for image, truth in ((ImageFile(path, upright=True), turned), (ImageFile(path), pixels)):
        np.testing.assert_array_equal(image.read(), truth)
        assert image.size() == (truth.shape[1], truth.shape[0])


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    spoilt, missing = ImageFile(spoil(tmp_path / "a.jpg")), ImageFile(tmp_path / "b.jpg")
    (tmp_path / "empty.png").touch()
    for image, reason in ((spoilt, "not a picture"), (missing, "no such file"),
                          (ImageFile(tmp_path / "empty.png"), "not a picture")):  # fmt: skip
        for call in (image.read, image.size):
            with pytest.raises(UnreadableError, match=reason):
                call()
    with pytest.raises(UnreadableError, match="not a picture"):
        TarImage(tmp_path / "a.jpg", 3, 10).read()
    with pytest.raises(UnreadableError, match="no such file"):
        MaskFile(tmp_path / "b.png").read()
    with pytest.raises(UnreadableError, match="cannot be read"):
        ImageFile(tmp_path).read()


def test_masks_of_one_hand_and_of_two() -> None:
    both = np.array([[0, 1, 2]], np.uint8)
    binary = np.array([[0, 255, 255]], np.uint8)
    ones = np.array([[0, 1, 1]], np.uint8)
    assert sides_of(both, 1, 2, 0).tolist() == [[0, 1, 2]]
    assert sides_of(both, 1, 2, 2).tolist() == [[0, 1, 2]]
    assert sides_of(binary, 1, 2, 1).tolist() == [[0, 1, 1]]
    assert sides_of(ones, 1, 2, 2).tolist() == [[0, 2, 2]]
    assert sides_of(np.array([[0, 255, 128]], np.uint8), 128, 255, 0).tolist() == [[0, 2, 1]]
    with pytest.raises(UnreadableError, match="values that mean no hand"):
        sides_of(binary, 1, 2, 0)


def test_a_folders_masks_and_captions(tmp_path: Path) -> None:
    written = write_folder(tmp_path, count=4, seed=2)
    for record in open_source("folder", tmp_path):
        assert isinstance(record, Record) and isinstance(record.image, ImageFile)
        truth = written.truths[record.image.path.stem]
        if not len(truth.people):
            assert record.masks is None and record.caption is None and record.people.shape == (0, 133, 3)
            continue
        assert record.caption == truth.sample.caption and record.masks is not None
        np.testing.assert_array_equal(record.masks.read(), truth.sample.hands)


def test_a_folders_pose_is_scaled_to_its_picture(tmp_path: Path) -> None:
    written = write_folder(tmp_path, count=1, seed=2, size=64)
    (truth,) = written.truths.values()
    save(truth.image, np.zeros((128, 128, 3), np.uint8))
    (record,) = open_source("folder", tmp_path)
    assert isinstance(record, Record)
    np.testing.assert_allclose(record.people[..., :2], 2 * truth.people[..., :2], atol=1e-3)


def test_rendered_people() -> None:
    (first, second) = Procedural("person", 2, 48, first_seed=7)
    sample = sample_person(8, 48)
    assert isinstance(first, Record) and isinstance(second, Record) and second.masks is not None
    np.testing.assert_array_equal(second.image.read(), sample.rgb)
    np.testing.assert_array_equal(second.masks.read(), sample.hands)
    np.testing.assert_array_equal(second.people[0, :, :2], sample.keypoints[:, :2])
    assert second.caption == sample.caption and first.key != second.key
    for kind, count, pixels, seed in (("foot", 1, 48, 0), ("hand", 0, 48, 0), ("hand", 1, 8, 0), ("hand", 1, 48, -1)):
        with pytest.raises(UserError, match="expected"):
            Procedural(kind, count, pixels, seed)
