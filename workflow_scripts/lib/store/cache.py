"""The feature cache that datasets, people and branches may share: what is in it, and what nobody needs any more.

Layout: `<cache>/<encoder>-<recipe digest>/` holds `recipe.json`, the finished videos as `<2 digits>/<key>.npz` (or
`.json`, transcripts), beside them a `<key>.claim` while a job is computing one, and `users/`, one file per settings
file of a results folder that works with this recipe.
"""

import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import remove_tree, write_if_changed, write_json
from workflow_scripts.lib.store.digest import digest_json

_DIGITS = 16
_GROUP_CAN_WRITE = 0o002
"""The umask under which what is made is writable for the group."""
_DAY_S = 24 * 3600


@dataclass(frozen=True)
class CachedRecipe:
    """One recipe in a cache.

    Attributes
    ----------
    folder : Path
    n_videos : int
    n_bytes : int
    last_used : float
        Seconds since the epoch at which a job last read or wrote here.
    users : list of Path
        Settings files, each of one feature in one results folder, that still have this recipe.
    """

    folder: Path
    n_videos: int
    n_bytes: int
    last_used: float
    users: list[Path]


def recipe_folder(cache: Path, settings_path: Path, settings: dict[str, Any]) -> Path:
    """Return the folder of a feature's recipe in the cache, with a note of who uses it.

    Everything that this process makes from now on is writable for the group if the cache folder is.

    Parameters
    ----------
    cache : folder of the cache; made if it is missing
    settings_path, settings : the feature's settings file and its content
    """
    cache.mkdir(parents=True, exist_ok=True)
    if cache.stat().st_mode & stat.S_IWGRP:
        os.umask(_GROUP_CAN_WRITE)
    recipe = settings["recipe"]
    folder = cache / f"{recipe['encoder']}-{digest_json(recipe)[:_DIGITS]}"
    if not (folder / "recipe.json").is_file():
        write_json(folder / "recipe.json", recipe)
    user = str(settings_path.resolve())
    note = folder / "users" / digest_json(user)[:_DIGITS]
    if not write_if_changed(note, user):
        os.utime(note)
    return folder


def read_cache(cache: Path) -> list[CachedRecipe]:
    """Return what is in a cache, the largest first.

    Raises
    ------
    UserError
        the folder is not there
    """
    if not cache.is_dir():
        raise UserError(f"{cache}: no such folder; the cache is `paths.feature_cache` of config/config.yaml")
    recipes = [_read_recipe(path.parent) for path in sorted(cache.glob("*/recipe.json"))]
    return sorted(recipes, key=lambda recipe: -recipe.n_bytes)


def _read_recipe(folder: Path) -> CachedRecipe:
    sizes = [path.stat().st_size for suffix in ("npz", "json") for path in folder.glob(f"??/*.{suffix}")]
    notes = list((folder / "users").glob("*"))
    last_used = max((note.stat().st_mtime for note in notes), default=(folder / "recipe.json").stat().st_mtime)
    return CachedRecipe(folder, len(sizes), sum(sizes), last_used, list(_users(folder, notes)))


def _users(folder: Path, notes: list[Path]) -> Iterator[Path]:
    """Yield the settings files that still have the recipe of this folder."""
    for note in notes:
        path = Path(note.read_text(encoding="utf-8"))
        try:
            recipe = json.loads(path.read_text(encoding="utf-8"))["recipe"]
        except (OSError, ValueError, KeyError):
            continue
        if folder.name.endswith(f"-{digest_json(recipe)[:_DIGITS]}"):
            yield path


def prune_cache(cache: Path, unused_days: float, dry_run: bool) -> list[CachedRecipe]:
    """Delete the recipes that no results folder uses any more; return them.

    A job that runs meanwhile loses nothing but time: what it does not find it computes.

    Parameters
    ----------
    cache : folder of the cache
    unused_days : recipes that a job used since are kept, whoever it was
    dry_run : only return them
    """
    before = time.time() - unused_days * _DAY_S
    unneeded = [recipe for recipe in read_cache(cache) if not recipe.users and recipe.last_used < before]
    for recipe in unneeded:
        if not dry_run:
            remove_tree(recipe.folder)
    return unneeded
