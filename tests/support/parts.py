"""All parts of a model, for tests that look at each."""

from handfirst.export.systems.two_stage.parts import part_makers


def two_stage_parts(model):
    """One at a time, in the order in which the pipeline uses them."""
    for make in part_makers(model).values():
        yield make()
