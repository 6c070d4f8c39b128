"""Who may import whom (docs/layout.md): the rooms keep their doors shut."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = {
    "browsing",
    "configuration",
    "console",
    "datasets",
    "extraction",
    "fetching",
    "foreign",
    "media",
    "metrics",
    "planning",
    "predictions",
    "reporting",
    "scoring",
    "search",
    "store",
    "training",
}
ALLOWED = {
    "fetching": {"foreign", "store"},
    "foreign": set(),
    "store": {"foreign"},
    "console": set(),
    "media": set(),
    "metrics": set(),
    "datasets": {"foreign", "store", "media"},
    "configuration": {"metrics", "models"},
    "extraction": {"foreign", "configuration", "store", "media", "models"},
    "predictions": {"datasets", "metrics", "store"},
    "training": {"foreign", "configuration", "datasets", "metrics", "models", "predictions", "scoring", "store"},
    "planning": {"configuration", "datasets", "extraction", "fetching", "metrics", "store"},
    "browsing": {"media", "models", "search", "store"},
    "search": {"configuration", "datasets", "extraction", "models", "store"},
    "reporting": {"datasets", "media", "metrics", "predictions", "scoring", "store"},
    "scoring": {"datasets", "metrics", "predictions", "store"},
}


DOUBLE_MODULES = {"errors"}
"""Every room may have errors of its own."""


def imported_rooms(path: Path) -> set[str]:
    """Return `models` and the library packages that a file imports."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            parts = name.split(".")
            if parts[0] == "models":
                rooms.add("models")
            elif parts[:2] == ["workflow_scripts", "lib"] and len(parts) > 2:
                rooms.add(parts[2])
            elif parts[0] == "workflow_scripts" and len(parts) > 1:
                rooms.add(parts[1])
    return rooms - {"errors", "versions"}


@pytest.mark.parametrize("room", sorted(LIBRARY))
def test_a_library_package_imports_only_what_it_may(room):
    for path in (ROOT / "workflow_scripts" / "lib" / room).rglob("*.py"):
        extra = imported_rooms(path) - ALLOWED[room] - {room}
        assert not extra, f"{path.relative_to(ROOT)} imports {sorted(extra)}"


def test_every_library_package_has_its_rule():
    packages = {path.parent.name for path in (ROOT / "workflow_scripts" / "lib").glob("*/__init__.py")}
    assert packages == LIBRARY


def test_models_import_nothing_from_the_workflow():
    for path in (ROOT / "models").rglob("*.py"):
        assert "workflow_scripts" not in path.read_text().replace("`workflow_scripts", ""), path.relative_to(ROOT)


def test_no_library_package_imports_snakemake():
    for path in (ROOT / "workflow_scripts").rglob("*.py"):
        assert "import snakemake" not in path.read_text(), path.relative_to(ROOT)


def library_modules() -> list[Path]:
    """Return the modules of the library; readers have the names of their formats, whatever else is called so."""
    paths = (ROOT / "workflow_scripts" / "lib").rglob("*.py")
    return [path for path in paths if path.name != "__init__.py" and path.parent.name != "readers"]


def test_a_module_name_stands_for_one_module():
    counts = Counter(path.stem for path in library_modules())
    assert {name for name, count in counts.items() if count > 1} <= DOUBLE_MODULES


def test_a_class_name_stands_for_one_class():
    counts = Counter(
        node.name
        for path in library_modules()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("path", sorted((ROOT / "workflow_scripts").glob("*.py")), ids=lambda path: path.name)
def test_entry_points_are_thin(path):
    assert len(path.read_text().splitlines()) <= 80


def test_every_rule_runs_the_entry_point_of_its_name():
    entry_points = {path.stem for path in (ROOT / "workflow_scripts").glob("*.py")}
    for path in (ROOT / "rules").glob("*.smk"):
        for line in path.read_text().splitlines():
            if line.startswith("rule "):
                name = line.removeprefix("rule ").rstrip(":")
                assert name in entry_points, f"{path.name}: {name}"


def defined(body: list[ast.stmt]) -> set[str]:
    """Return the names that the statements of a module give to something, those within conditions among them."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                found.add(inner.id)
            elif isinstance(inner, ast.ImportFrom | ast.Import):
                found |= {alias.asname or alias.name for alias in inner.names}
            elif isinstance(inner, ast.FunctionDef | ast.ClassDef):
                found.add(inner.name)
    return found


@cache
def names_of(place: Path) -> set[str] | None:
    """Return what may be imported from a module or a package, given without its suffix; None if there is none."""
    file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
    if not file.is_file():
        return None
    inside = (
        {path.stem for path in place.iterdir() if names_of(path.with_suffix("")) is not None}
        if place.is_dir()
        else set()
    )
    return defined(ast.parse(file.read_text()).body) | inside


OWN_IMPORT = re.compile(
    r"^\s*(from ((?:workflow_scripts|models|tests)\b[\w.]*) import (?:\([^)]*\)|[^\n(]+))", re.MULTILINE
)


def test_every_import_of_our_own_names_something_that_is_there():
    for path in sorted(file for top in ("workflow_scripts", "models", "tests") for file in (ROOT / top).rglob("*.py")):
        for statement, module in OWN_IMPORT.findall(path.read_text()):
            [node] = ast.parse(statement).body
            names = names_of(ROOT / module.replace(".", "/"))
            assert names is not None, f"{path}: {module}"
            assert {alias.name for alias in node.names} <= names, f"{path}: {module}"
