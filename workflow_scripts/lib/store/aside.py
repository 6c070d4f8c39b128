"""Rows of a shard that another job makes along with its own: they wait where the job of the shard looks for them."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from workflow_scripts.lib.store.claims import Claims
from workflow_scripts.lib.store.gathered import FAILED
from workflow_scripts.lib.store.shard_job import Computed, Wanted, checked, finished_parts, row_key
from workflow_scripts.lib.store.shard_store import StoreBeingRewritten, StoreDamaged, read_shard_index
from workflow_scripts.lib.versions import code_revision


class Aside:
    """The videos of a shard that lack rows, and where those go until `update_shard` publishes them.

    Parameters
    ----------
    store_path, wanted, recipe, dtype, cache_dir : as for `update_shard`

    Notes
    -----
    Only what succeeds is kept. A fault is left to the job of the shard, which meets it again and says so.
    """

    def __init__(
        self, store_path: Path, wanted: Sequence[Wanted], recipe: dict[str, Any], dtype: str, cache_dir: Path | None
    ) -> None:
        self._keys = {video.id: row_key(video.digest, recipe, dtype) for video in wanted}
        self._store_path, self._dtype, self._cache_dir = store_path, np.dtype(dtype), cache_dir

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._parts = self._stack.enter_context(finished_parts(self._store_path, self._cache_dir))
        self._claims = self._stack.enter_context(Claims(self._cache_dir))
        published = _published_keys(self._store_path)
        self._taken: set[str] = set()
        self._missing = {key for key in self._keys.values() if key not in published and self._parts.get(key) is None}
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def is_complete(self) -> bool:
        """Return whether no video lacks rows."""
        return not self._missing

    def takes(self, video_id: str) -> bool:
        """Return whether a video lacks rows and nobody else is making them; it is claimed then."""
        key = self._keys.get(video_id)
        if key not in self._missing or not self._claims.take(key):
            return False
        # Somebody else may have made them since.
        is_missing = self._parts.get(key) is None
        self._taken.add(video_id)
        if not is_missing:
            self._missing.discard(key)
            self.give_up(video_id)
        return is_missing

    def give_up(self, video_id: str) -> None:
        """Leave a video to whoever asks for it next, if it was taken."""
        if video_id in self._taken:
            self._taken.discard(video_id)
            self._claims.release(self._keys[video_id])

    def add(self, computed: Computed) -> None:
        """Keep the rows of a video that was taken.

        Raises
        ------
        UserError
            a value does not fit the number format of the store
        """
        key, part = self._keys[computed.id], checked(computed, self._dtype)
        if part.status != FAILED:
            self._parts.add(key, part._replace(made_by=(code_revision(),)))
            self._missing.discard(key)
        self.give_up(computed.id)


def _published_keys(store_path: Path) -> set[str]:
    """Return the keys of the videos in a finished shard; none of one that is not there or damaged."""
    try:
        _, videos = read_shard_index(store_path)
    except (OSError, StoreDamaged, StoreBeingRewritten):
        return set()
    return {video.key for video in videos}
