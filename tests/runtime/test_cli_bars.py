"""Bars for what is compiled: they come with a compilation and go with it, and nothing is drawn for nobody."""

import io

import pytest
from rich.console import Console

from handfirst.engines.building import compiling
from handfirst.runtime.cli.bars import Bars, Throughput


def drawn(bars):
    """What a terminal would show now."""
    console = Console(file=io.StringIO(), width=100)
    console.print(bars._bars.get_renderable())
    return console.file.getvalue()


@pytest.mark.parametrize("bars", [Bars, lambda show: Throughput("jobs", 5, show=show)], ids=["bars", "throughput"])
def test_a_compilation_has_a_bar_while_it_lasts(bars, capsys):
    with bars(True) as made:
        with compiling("hand_unet") as tell:
            assert "compiling hand_unet" in drawn(made) and "/100" not in drawn(made)
            tell(0.376)
            assert "37/100" in drawn(made)
            with compiling("hand_unet"):  # another bundle's
                pass
            tell(0.5)
            assert "50/100" in drawn(made)
        assert "compiling" not in drawn(made)
    with compiling("later"):
        assert "later" not in drawn(made)
    assert "compiling hand_unet" in capsys.readouterr().err


def test_nothing_is_drawn_without_a_bar_or_without_a_terminal(capsys):
    with Bars(True):
        pass
    with Bars(None), compiling("hand_unet"):
        pass
    with Bars(False) as bars, compiling("hand_unet"):
        bars.update("hands", 1, 2)
    assert capsys.readouterr().err == ""
