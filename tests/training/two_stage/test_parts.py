"""Which shards are trained on and which are held out: what `prepare` held out stays held out."""

from __future__ import annotations

import shutil
from pathlib import Path

from handfirst.training.loop.run import Data, open_data


def prepared(hands: Path, folder: Path) -> tuple[Path, set[str], set[str]]:
    """The two shards as `handfirst prepare` lays them out, and the keys of either part."""
    first, second = sorted(hands.glob("*.tar"))
    for part, file in (("train", first), ("val", second)):
        (folder / part).mkdir(parents=True)
        shutil.copy(file, folder / part)
    return folder, {f"hand-{i:09d}" for i in range(8)}, {f"hand-{i:09d}" for i in range(8, 14)}


def test_a_prepared_folder_is_trained_on_its_train_part_alone(hands: Path, tmp_path: Path) -> None:
    folder, train, held = prepared(hands, tmp_path / "prepared")
    (trained,), held_out = open_data(Data((folder,), (1.0,)), 0.35, tmp_path / "index")
    assert set(trained.keys) == train and set(held_out.keys) == held


def test_shards_of_their_own_to_validate_on_take_the_place_of_the_val_part(hands: Path, tmp_path: Path) -> None:
    folder, train, _ = prepared(hands, tmp_path / "prepared")
    (trained,), held_out = open_data(Data((folder,), (1.0,), hands), 0.35, tmp_path / "index")
    assert set(trained.keys) == train and len(held_out.keys) == 14


def test_other_folders_and_those_without_a_val_part_are_split(hands: Path, tmp_path: Path) -> None:
    folder, train, _ = prepared(hands, tmp_path / "prepared")
    shutil.rmtree(folder / "val")
    for source, keys in ((folder, train), (hands, {f"hand-{i:09d}" for i in range(14)})):
        (trained,), held_out = open_data(Data((source,), (1.0,)), 0.35, tmp_path / "index")
        assert set(trained.keys) | set(held_out.keys) == keys
        assert len(trained.keys) and len(held_out.keys) and not set(trained.keys) & set(held_out.keys)
