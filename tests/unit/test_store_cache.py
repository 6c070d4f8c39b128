"""The shared feature cache: who uses what, how large it is, what may go."""

import json
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from tests.unit.forked import run_forked
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.cache import prune_cache, read_cache, recipe_folder
from workflow_scripts.lib.store.parts import Part, PartFiles

ROOT = Path(__file__).resolve().parents[2]
PART = Part(np.ones((3, 4), np.float16), np.zeros((3, 2), np.float32), "ok", "")
LONG_AGO_S = 100 * 24 * 3600


def use(cache: Path, results: Path, rate: int) -> Path:
    """Use the cache as a job of this results folder does, with a recipe of this rate; returns the recipe's folder."""
    settings = {"feature": "clip", "recipe": {"encoder": "clip", "rate": rate}}
    path = results / "demo/features/clip/settings.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings))
    folder = recipe_folder(cache, path, settings)
    PartFiles(folder).add(f"{rate:064x}", PART)
    return folder


def let_pass(folder: Path) -> None:
    for note in (folder / "users").iterdir():
        os.utime(note, (time.time() - LONG_AGO_S,) * 2)


def test_a_recipe_is_found_by_all_who_use_it(tmp_path):
    cache = tmp_path / "cache"
    one, other = use(cache, tmp_path / "anna", 2), use(cache, tmp_path / "ben", 2)
    assert one == other
    assert PartFiles(one).get(f"{2:064x}").values.tolist() == PART.values.tolist()
    (cached,) = read_cache(cache)
    assert (cached.n_videos, cached.n_bytes) == (1, next(one.glob("??/*.npz")).stat().st_size)
    assert {path.parents[3].name for path in cached.users} == {"anna", "ben"}


def test_only_what_nobody_uses_and_nobody_used_lately_is_pruned(tmp_path):
    cache, results = tmp_path / "cache", tmp_path / "results"
    old = use(cache, results, 2)
    assert prune_cache(cache, 0, dry_run=False) == []
    new = use(cache, results, 4)
    assert prune_cache(cache, 30, dry_run=False) == []
    let_pass(old)
    let_pass(new)
    assert [recipe.folder for recipe in prune_cache(cache, 30, dry_run=True)] == [old]
    assert old.is_dir()
    assert [recipe.folder for recipe in prune_cache(cache, 30, dry_run=False)] == [old]
    assert not old.exists()
    assert PartFiles(new).get(f"{4:064x}") is not None


def test_a_results_folder_that_is_gone_uses_nothing(tmp_path):
    folder = use(tmp_path / "cache", tmp_path / "results", 2)
    (tmp_path / "results/demo/features/clip/settings.json").unlink()
    assert [recipe.folder for recipe in prune_cache(tmp_path / "cache", 0, dry_run=True)] == [folder]


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_made_in_a_groups_cache_is_the_groups(tmp_path, shared):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o2775 if shared else 0o755)
    before = os.umask(0o022)
    try:
        folder = use(cache, tmp_path / "results", 2)
    finally:
        os.umask(before)
    made = [folder, *folder.rglob("*")]
    assert all(bool(path.stat().st_mode & stat.S_IWGRP) == shared for path in made)
    assert len(made) > 4


def test_the_command_line_lists_and_prunes(tmp_path):
    def call(*arguments: str) -> str:
        done = run_forked("store", *arguments)
        done.check_returncode()
        return done.stdout

    cache = tmp_path / "cache"
    folder = use(cache, tmp_path / "results", 2)
    assert f"{folder.name}\t1 videos" in call("cache", str(cache))
    use(cache, tmp_path / "results", 4)
    assert folder.name in call("prune", str(cache), "--unused-days", "0", "--dry-run")
    assert folder.is_dir()
    call("prune", str(cache), "--unused-days", "0")
    assert not folder.exists()
    with pytest.raises(UserError, match="no such folder"):
        read_cache(tmp_path / "nowhere")
