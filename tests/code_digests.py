"""Digests of the code that makes numbers, without comments, docstrings and descriptions: no change is overlooked."""

import argparse
import ast
import hashlib
import importlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from workflow_scripts.lib.configuration.compose import module_names
from workflow_scripts.lib.datasets.readers import known_formats
from workflow_scripts.lib.versions import RAISED, version_of

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "workflow_scripts" / "lib"
RECORD = ROOT / "tests" / "unit" / "code_digests.json"
MEDIA = {
    "sampling": ("sampling", "sparse_sampling", "clip_windows", "plan_table", "probe"),
    "resize": ("resize",),
    "frames": ("decode", "decode_program", "decode_pyav", "frame_request", "containers", "ffmpeg"),
    "images": ("image_folder",),
    "sound": ("audio", "containers", "ffmpeg"),
    "probe": ("probe", "plausible", "survey", "containers"),
}
"""Part -> modules of `media`. Sampling starts from the times of the frames, which `probe` finds."""
PREDICTION = ("prediction", "variants", "answer_journal")
"""Modules of `training` that ask a trained system; the others decide what it learns."""


def module_path(name: str) -> Path | None:
    """Return the file of a module of this project, None for a package."""
    path = ROOT / (name.replace(".", "/") + ".py")
    return path if path.is_file() else None


def imported(path: Path) -> Iterator[str]:
    """Yield the names of all modules that a module may import, members of modules among them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reachable(roots: Iterable[Path], room: str) -> set[Path]:
    """Return modules with all modules of a room that they import."""
    found, waiting = set(), list(roots)
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        waiting += filter(None, (module_path(name) for name in imported(current) if name.startswith(f"{room}.")))
    return found


def parts() -> dict[str, set[Path]]:
    """Return the modules of every part of the code."""
    found = {f"encoder/{name}": {ROOT / f"models/encoders/{name}.py"} for name in module_names("models.encoders")}
    found |= {f"system/{name}": set((ROOT / "models/systems" / name).glob("*.py")) for name in system_names()}
    found = {part: reachable(roots, "models") for part, roots in found.items()}
    found |= {part: {LIBRARY / "media" / f"{name}.py" for name in names} for part, names in MEDIA.items()}
    datasets = "workflow_scripts.lib.datasets"
    found["annotations"] = reachable([LIBRARY / "datasets/importing.py"], datasets)
    for name in known_formats():
        reader = reachable([LIBRARY / f"datasets/readers/{name}.py"], datasets)
        found[f"reader/{name}"] = reader - found["annotations"]
    found["prediction"] = {LIBRARY / "training" / f"{name}.py" for name in PREDICTION}
    found["training"] = set((LIBRARY / "training").glob("*.py")) - found["prediction"]
    found["scoring"] = {path for room in ("metrics", "scoring") for path in (LIBRARY / room).glob("*.py")}
    return found


def system_names() -> list[str]:
    """Return the packages of `models/systems/`."""
    return sorted(path.parent.name for path in (ROOT / "models" / "systems").glob("*/system.py"))


def code_digest(modules: Iterable[Path]) -> str:
    """Return the digest of the syntax trees, without what only people read and without versions."""
    sha = hashlib.sha256()
    for module in sorted(modules):
        tree = ast.parse(module.read_text())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [part for part in body if not _is_text(part) and not _is_version(part)]
            if isinstance(node, ast.Call):
                node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        sha.update(ast.dump(tree).encode())
    return sha.hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_version(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "RECIPE_VERSION"


def versions(part: str) -> dict[str, int]:
    """Return the versions that stand for a part: one, or those of its rules that were raised."""
    kind, _, name = part.partition("/")
    if kind == "encoder":
        return {part: importlib.import_module(f"models.encoders.{name}").RECIPE_VERSION}
    raised = {key: version for key, version in RAISED.items() if key == part or key.startswith(f"{part}/")}
    return raised or {part: version_of(part)}


def where_to_raise(part: str) -> str:
    """Return what a person raises when numbers of a part may differ."""
    kind, _, name = part.partition("/")
    if kind == "encoder":
        return f"RECIPE_VERSION in models/encoders/{name}.py"
    named = f"`{part}/<rule>` of every rule concerned" if part in ("sampling", "resize") else f"`{part}`"
    return f"the version of {named} in workflow_scripts/lib/versions.py"


def current() -> dict[str, dict[str, object]]:
    """Return versions and code digest of every part."""
    return {part: {"versions": versions(part), "code": code_digest(modules)} for part, modules in parts().items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="record the present digests")
    parser.parse_args()
    RECORD.write_text(json.dumps(current(), indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
