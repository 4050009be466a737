"""The rooms of the package, from the ground floor up: a room imports only what stands below it."""

import ast

import networkx
import pytest
import yaml
from support.paths import ROOT

FLOORS = [floor["rooms"] for floor in yaml.safe_load((ROOT / "docs" / "rooms.yaml").read_text())]
"""Rooms of one floor do not import one another. `docs/design.md` shows them."""

FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
FACE = "__init__"


@pytest.fixture(scope="module")
def modules():
    """By name the syntax tree of every file of the package that holds more than a docstring."""
    found = {}
    for file in sorted((ROOT / "neuromas_env").rglob("*.py")):
        *place, last = file.relative_to(ROOT / "neuromas_env").with_suffix("").parts
        tree = ast.parse(file.read_text())
        if len(tree.body) > 1:
            found[".".join(place + [last] * (last != "__init__")) or FACE] = tree
    return found


def inside(name, places):
    """Return the innermost of the places that a dotted name lies in."""
    parts = name.split(".")
    return next((p for i in range(len(parts), 0, -1) if (p := ".".join(parts[:i])) in places), None)


def imports(modules, types=True):
    """Yield a file of the package and one that it imports, if only for type checkers or not."""
    for module, tree in modules.items():
        guards = [n for n in ast.walk(tree) if isinstance(n, ast.If)]
        guards = [n for n in guards if "TYPE_CHECKING" in ast.dump(n.test)]
        hidden = set() if types else {node for guard in guards for node in ast.walk(guard)}
        for node in set(ast.walk(tree)) - hidden:
            if isinstance(node, ast.Import | ast.ImportFrom):
                within = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                for name in (within + alias.name for alias in node.names):
                    if name.startswith("neuromas_env."):
                        yield module, inside(name.removeprefix("neuromas_env."), modules) or FACE


def test_every_module_has_a_room_and_every_room_a_module(modules):
    assert {inside(module, FLOOR) for module in modules} == set(FLOOR)


def test_a_room_imports_only_what_stands_below(modules):
    rooms = {module: inside(module, FLOOR) for module in modules}
    wrong = [
        f"{module} imports {other}"
        for module, other in imports(modules)
        if rooms[other] != rooms[module] and FLOOR[rooms[other]] >= FLOOR[rooms[module]]
    ]
    assert not wrong


def test_no_files_import_one_another_in_a_circle(modules):
    graph = networkx.DiGraph(imports(modules, types=False))
    assert list(networkx.simple_cycles(graph)) == []


def test_no_file_is_long():
    folders = [ROOT / name for name in ("neuromas_env", "tests", "benchmarks", "examples")]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert [str(f.relative_to(ROOT)) for f in files if len(f.read_text().splitlines()) > 400] == []
