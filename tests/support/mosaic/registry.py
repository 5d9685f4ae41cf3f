"""The three lines that make the second system known, for as long as a test needs it."""

from contextlib import contextmanager

import pytest

from handfirst.runtime.systems import SYSTEMS

NAME = "mosaic"


@contextmanager
def opened_here():
    """Known to those who open bundles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SYSTEMS, NAME, "support.mosaic.runtime")
        yield


@contextmanager
def known():
    """Known in every room."""
    from handfirst.export import systems as export
    from handfirst.training import systems as training

    with opened_here(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(training.SYSTEMS, NAME, "support.mosaic.training")
        patch.setitem(export.SYSTEMS, NAME, "support.mosaic.export")
        yield


def exported(folder):
    """Folders of a model and of its bundle."""
    from support.mosaic.training import untrained

    from handfirst.export.bundle_writer import export_bundle
    from handfirst.export.options import ExportOptions

    with known():
        model = untrained(folder / "model")
        return model, export_bundle(model, folder / "bundle", ExportOptions("mosaic", "float32"))
