"""The three lines that make the second system known, for as long as a test needs it."""

from contextlib import contextmanager

import pytest

from handfirst.runtime.systems import SYSTEMS as RUNTIME

NAME = "mosaic"


@contextmanager
def known():
    from handfirst.export.systems import SYSTEMS as EXPORT
    from handfirst.training.systems import SYSTEMS as TRAINING

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RUNTIME, NAME, "support.mosaic.runtime")
        patch.setitem(TRAINING, NAME, "support.mosaic.training")
        patch.setitem(EXPORT, NAME, "support.mosaic.export")
        yield


def exported(folder):
    """Folders of a model and of its bundle."""
    from support.mosaic.training import untrained

    from handfirst.export.bundle_writer import export_bundle
    from handfirst.export.options import ExportOptions

    with known():
        model = untrained(folder / "model")
        return model, export_bundle(model, folder / "bundle", ExportOptions("mosaic", "float32"))
