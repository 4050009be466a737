"""What a name stands for, and what is said of one that stands for nothing."""

import sys
from collections import Counter

import pytest
from support.plugins import install

from neuromas_env.errors import InputError
from neuromas_env.registry import BuiltIn, Registry

GROUP = "neuromas_env.test_shapes"


@pytest.fixture
def shapes():
    return Registry("shape", GROUP, {"count": BuiltIn("collections:Counter", "counts")})


def test_a_built_in_name_is_imported_and_listed(shapes):
    assert shapes.find("count") is Counter
    assert shapes.abouts() == {"count": "counts"} and list(shapes) == ["count"]
    assert "count" in shapes and "cuont" not in shapes


def test_registered_by_call_or_as_a_decorator(shapes):
    @shapes.register("round")
    def circle():
        """All points at one distance.

        More about that.
        """

    assert shapes.find("round") is circle
    assert shapes.register("flat", list, about="no height") is list
    shapes.register("bare", lambda: None)
    assert shapes.abouts() == {
        "count": "counts",
        "round": "All points at one distance.",
        "flat": "no height",
        "bare": "registered in code",
    }
    shapes.register("round", dict)  # a cell of a notebook, run again
    assert shapes.find("round") is dict


def test_an_unknown_name_gets_a_suggestion(shapes):
    shapes.register("round", list)
    with pytest.raises(InputError, match=r"unknown shape 'ruond'\. Did you mean 'round'"):
        shapes.find("ruond")


@pytest.mark.parametrize(
    ("name", "says"),
    [("count", "'count' is built in"), ("a/b", "'a/b': a name is letters"), ("", "is letters")],
)
def test_names_that_cannot_be_registered(shapes, name, says):
    with pytest.raises(InputError, match=says):
        shapes.register(name, list)


def test_built_in_before_registered_before_installed(shapes, monkeypatch, tmp_path):
    offered = {name: "collections:OrderedDict" for name in ("count", "round", "square")}
    install(monkeypatch, tmp_path, "shapes-of-others", {GROUP: offered})
    shapes.register("round", list)
    assert shapes.find("count") is Counter and shapes.find("round") is list
    assert shapes.find("square").__name__ == "OrderedDict" and "square" in shapes
    assert shapes.abouts() == {
        "count": "counts",
        "square": "Dictionary that remembers insertion order; the package shapes-of-others "
        "(collections:OrderedDict)",
        "round": "Built-in mutable sequence.",
    }


def test_a_broken_package_is_named_in_one_line_when_it_is_used(shapes, monkeypatch, tmp_path):
    offered = {"torn": "torn_module:made", "lost": "collections:nothing", "fine": "builtins:set",
               "left": "left_module:made", "mute": "mute_module:made"}  # fmt: skip
    torn = {
        "torn_module": "raise RuntimeError('first line\\nsecond')",
        "left_module": "import sys; sys.exit()",
        "mute_module": "from collections import UserDict\nclass made(UserDict): pass",
    }
    install(monkeypatch, tmp_path, "torn-shapes", {GROUP: offered}, torn)
    assert shapes.find("fine") is set and {"torn", "lost"} < shapes.abouts().keys()
    with pytest.raises(InputError) as error:
        shapes.find("torn")
    assert str(error.value) == (
        "shape 'torn' of the package torn-shapes (torn_module:made) does not load: "
        "RuntimeError: first line second"
    )
    with pytest.raises(InputError, match="'lost' of the package torn-shapes .* AttributeError"):
        shapes.find("lost")
    abouts = shapes.abouts()
    assert abouts["torn"] == str(error.value) and "does not load: SystemExit" in abouts["left"]
    # Since Python 3.13 the docstring of `set` has a first line that says something.
    assert abouts["fine"].endswith("the package torn-shapes (builtins:set)")
    assert abouts["mute"] == "the package torn-shapes (mute_module:made)"


def test_names_are_known_without_importing_any_package(shapes, monkeypatch, tmp_path):
    torn = {"torn_module": "raise RuntimeError('imported')"}
    install(monkeypatch, tmp_path, "torn-shapes", {GROUP: {"torn": "torn_module:made"}}, torn)
    assert list(shapes) == ["count", "torn"] and "torn" in shapes
    with pytest.raises(InputError, match="Did you mean 'torn'"):
        shapes.find("tron")
    assert "torn_module" not in sys.modules


def test_two_packages_with_one_name_are_both_named(shapes, monkeypatch, tmp_path):
    for package in ("one-shapes", "two-shapes"):
        (tmp_path / package).mkdir()
        install(monkeypatch, tmp_path / package, package, {GROUP: {"round": "builtins:list"}})
    with pytest.raises(InputError, match=r"package (one|two)-shapes .* and .*(one|two)-shapes"):
        shapes.find("round")
    assert "is offered by" in shapes.abouts()["round"]
    shapes.register("round", tuple)
    assert shapes.find("round") is tuple
