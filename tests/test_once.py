"""What is made once in a run (support/once.py)."""

import pytest
from support.once import once


def test_it_is_made_once_and_only_whole(tmp_path):
    asked = []

    def make(folder):
        asked.append(folder)
        (folder / "half").touch()
        if len(asked) == 1:
            raise KeyError
        (folder / "whole").touch()

    with pytest.raises(KeyError):
        once(tmp_path, "x", make)
    assert not (tmp_path / "x").exists()
    for _ in range(2):
        assert {path.name for path in once(tmp_path, "x", make).iterdir()} == {"half", "whole"}
    assert len(asked) == 2
