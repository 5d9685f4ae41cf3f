"""`handfirst data`: bad arguments in one line, and a contact sheet."""

from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from handfirst.training.data.cli import app


@pytest.mark.parametrize(
    "arguments",
    [
        ["render", "dog", "out"],
        ["render", "hand", "out", "--count", "0"],
        ["sheet", "out.png", "--kind", "cat"],
        ["sheet", "out.gif"],
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1


def test_a_contact_sheet(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    result = CliRunner().invoke(app, ["sheet", str(out), "--count", "3", "--size", "32"])
    assert result.exit_code == 0
    image = cv2.imread(str(out))
    assert image is not None and image.shape == (32, 96, 3)
