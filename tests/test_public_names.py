"""The names that applications may rely on. Taking one away, or moving it, is a new major version."""

import importlib.metadata

import pytest

import handfirst

NAMES = ["Pose", "Request", "Result", "UserError", "__version__", "open", "read_pose"]


def test_the_names():
    assert handfirst.__all__ == NAMES == sorted(NAMES)
    assert dir(handfirst) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there(name):
    assert getattr(handfirst, name) is not None


def test_the_version_is_that_of_the_installed_package():
    assert handfirst.__version__ == importlib.metadata.version("handfirst")


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = handfirst.nothing_like_it
