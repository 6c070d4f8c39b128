"""Folders of models that a library reads by itself: looked through before, as it trusts what its files say."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from workflow_scripts.lib.foreign.boundary import UnreadableFile, reading, what_it_is
from workflow_scripts.lib.foreign.torch_files import check_torch

_REMEDY = "Download or copy it again"
_READ = {".json", ".safetensors", ".bin", ".txt", ".model"}
"""Files that our libraries read; weights for others, pages and what downloaders note in hidden folders are not."""


def check_folder(folder: Path) -> Path:
    """Return a folder whose files can be handed to a library.

    Raises
    ------
    UnreadableFile
        If a file is damaged or something else, or an index names one that is not there or lies outside.
    """
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _READ and path.is_file()):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        other = what_it_is(path)
        if other:
            raise UnreadableFile(f"{path}: {other}")
        if path.suffix == ".json":
            with reading(path, "readable JSON file", _REMEDY):
                content = json.loads(path.read_text(encoding="utf-8"))
            if path.name.endswith(".index.json"):
                _check_index(content, path)
        elif path.suffix == ".safetensors":
            _check_safetensors(path)
        elif path.suffix == ".bin" and path.name.startswith("pytorch_model"):
            with reading(path, "readable torch file of tensors", _REMEDY):
                check_torch(path)
    return folder


def _check_safetensors(path: Path) -> None:
    from safetensors import safe_open

    with reading(path, "readable file of safetensors", _REMEDY), safe_open(path, "numpy") as file:
        file.keys()


def _check_index(content: Any, path: Path) -> None:
    """Refuse an index of parts that leads to other files than those beside it."""
    parts = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
        raise UnreadableFile(f"{path}: expected the names of files under `weight_map`. {_REMEDY}.")
    for part in sorted(set(parts.values())):
        name = PurePosixPath(part)
        if name.is_absolute() or ".." in name.parts:
            raise UnreadableFile(f"{path}: names {part}, which lies outside its folder. Do not trust this folder.")
        if not (path.parent / name).is_file():
            raise UnreadableFile(f"{path}: names {part}, which is not there. {_REMEDY}.")
