"""Digests of the encoders' code without comments and docstrings, so that a change of numbers is never overlooked."""

import argparse
import ast
import hashlib
import importlib
import json
from pathlib import Path

from workflow_scripts.lib.configuration.compose import module_names

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests" / "unit" / "encoder_digests.json"


def project_modules(path: Path) -> set[Path]:
    """Return a module of `models` with all modules of `models` that it imports."""
    found, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for node in ast.walk(ast.parse(current.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("models."):
                waiting.append(ROOT / (node.module.replace(".", "/") + ".py"))
    return found


def code_digest(path: Path) -> str:
    """Return the digest of the syntax trees, docstrings and RECIPE_VERSION apart."""
    sha = hashlib.sha256()
    for module in sorted(project_modules(path)):
        tree = ast.parse(module.read_text())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [part for part in body if not _is_text(part) and not _is_version(part)]
        sha.update(ast.dump(tree).encode())
    return sha.hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_version(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "RECIPE_VERSION"


def current() -> dict[str, dict[str, object]]:
    """Return version and code digest of every encoder."""
    digests = {}
    for name in module_names("models.encoders"):
        version = importlib.import_module(f"models.encoders.{name}").RECIPE_VERSION
        digests[name] = {"recipe_version": version, "code": code_digest(ROOT / "models" / "encoders" / f"{name}.py")}
    return digests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="record the present digests")
    parser.parse_args()
    RECORD.write_text(json.dumps(current(), indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
