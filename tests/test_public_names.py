"""The names that applications may rely on. Taking one away, or moving it, is a new major version."""

import importlib.metadata
import inspect

import pytest

import handfirst

NAMES = [
    "BundleError",
    "BusyError",
    "DeadlineError",
    "EngineError",
    "Job",
    "JobCancelledError",
    "Pose",
    "PoseError",
    "Progress",
    "Request",
    "RequestError",
    "Result",
    "Server",
    "TwoStage",
    "UserError",
    "__version__",
    "open",
    "read_pose",
    "warm_up",
]
MEMBERS = {
    "Job": ["cancel", "done", "latest", "news", "remaining", "result", "run", "state", "watch"],
    "Server": ["close", "running", "stop", "submit", "waiting"],
    "TwoStage": ["bundle", "close", "open", "render", "render_batch", "steps"],
}
OBJECTS = [name for name in NAMES if name != "__version__"]


def members(name):
    """Public methods and properties that the class defines, or what loaded models have in common."""
    mine = getattr(handfirst, name)
    shared = [base for base in mine.__mro__[1:] if base.__module__ == "handfirst.runtime.loaded"]
    found = {key: value for kind in (*shared, mine) for key, value in vars(kind).items()}
    return sorted(
        key
        for key, value in found.items()
        if not key.startswith("_") and (inspect.isroutine(value) or isinstance(value, property))
    )


def test_the_names():
    assert handfirst.__all__ == NAMES == sorted(NAMES)
    assert dir(handfirst) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there(name):
    assert getattr(handfirst, name) is not None


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_what_the_classes_offer(name):
    assert set(MEMBERS[name]) <= set(members(name))


@pytest.mark.parametrize("name", OBJECTS)
def test_each_name_and_what_it_offers_says_what_it_is(name):
    thing = getattr(handfirst, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing):
        silent = [key for key in members(name) if not inspect.getdoc(inspect.getattr_static(thing, key))]
        assert not silent


@pytest.mark.parametrize("name", [name for name in OBJECTS if name.endswith("Error")])
def test_one_clause_catches_every_error(name):
    assert issubclass(getattr(handfirst, name), handfirst.UserError)


def test_the_version_is_that_of_the_installed_package():
    assert handfirst.__version__ == importlib.metadata.version("handfirst")


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = handfirst.nothing_like_it
