"""Write a feature in the file forms that the published loaders read."""

import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import atomic_path
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.id_patterns import (
    QUERY_COLUMNS,
    VIDEO_FIELDS,
    check_pattern,
    fill_pattern,
    pattern_fields,
    query_fields,
)
from workflow_scripts.lib.store.item_ids import file_of
from workflow_scripts.lib.store.tables import read_table

log = logging.getLogger(__name__)

DEFAULT_KEYS = {"npz": "features", "h5": "feature"}


@dataclass(frozen=True)
class ExportForm:
    """How a feature is written.

    Attributes
    ----------
    layout : str
        A key of `LAYOUTS`.
    key : str or None
        Name of the array in an npz or h5 file of one video; in one h5 file for all, of the dataset in a video's group,
        None for a dataset called like the video.
    name : str
        What a file, or an entry of the one file, is called: `{id}`, or columns of the annotation tables.
    dtype : {"float32", "float16"}
    has_spatial_axes : bool
        (T, 1, 1, D) instead of (T, D), as LGI and MRNet read I3D features.
    """

    layout: str
    key: str | None = None
    name: str = "{id}"
    dtype: str = "float32"
    has_spatial_axes: bool = False


def export_feature(root: Path, out: Path, form: ExportForm) -> dict[str, int]:
    """Write all videos (or queries) of a feature that have rows.

    Parameters
    ----------
    root : Path
        The feature's folder.
    out : Path
        The folder of the files, or the one file of the layouts `hdf5` and `pickle`.
    form : ExportForm

    Returns
    -------
    dict of str to int
        Number of videos by status; those without rows are in no file.

    Raises
    ------
    UserError
        If two videos would have the same name, or a name cannot be made.
    """
    store = FeatureStore(root)
    names = _names(root, store, form.name)
    counts: dict[str, int] = {}
    with LAYOUTS[form.layout](out, form) as write:
        for video_id, name in names.items():
            rows = store[video_id]
            counts[rows.status] = counts.get(rows.status, 0) + 1
            if not len(rows.values):
                log.warning("%s: no rows (%s), not exported", video_id, rows.reason or rows.status)
                continue
            values = rows.values.astype(form.dtype)
            write(name, values[:, None, None, :] if form.has_spatial_axes else values)
    return counts


def _names(root: Path, store: FeatureStore, pattern: str) -> dict[str, str]:
    """Return the name of every id."""
    rows = {video_id: {"id": video_id} for video_id in store}
    if pattern_fields(pattern) - {"id"}:
        rows = {video_id: {**row, **rows[video_id]} for video_id, row in _annotated(root).items() if video_id in rows}
        if len(rows) < len(store):
            lost = next(video_id for video_id in store if video_id not in rows)
            raise UserError(f"{root}: {lost!r} is not in the annotation tables, so --name {pattern!r} has no value.")
    check_pattern(pattern, sorted({"id", *(field for row in rows.values() for field in row)}))
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for video_id, row in rows.items():
        name = fill_pattern(pattern, row)
        if name is None or name in taken:
            found = "a column without a value" if name is None else f"the same name as for {taken[name]!r}: {name!r}"
            raise UserError(f"--name {pattern!r}: {found} for {video_id!r}. Choose columns that tell them apart.")
        taken[name] = video_id
        names[video_id] = name
    return names


def _annotated(root: Path) -> dict[str, Mapping[str, Any]]:
    """Return the annotated videos and queries of the feature's dataset by id."""
    folder = root.resolve().parent.parent / "annotations"
    videos = read_table(folder / "videos.parquet", VIDEO_FIELDS).to_pylist()
    queries = read_table(folder / "queries.parquet", QUERY_COLUMNS).to_pylist()
    return {row["video_id"]: row for row in videos} | {row["query_id"]: query_fields(row) for row in queries}


Write = Callable[[str, np.ndarray], None]


def _one_file_each(suffix: str, save: Callable[[Path, np.ndarray, ExportForm], None]) -> Callable:
    @contextmanager
    def layout(out: Path, form: ExportForm) -> Iterator[Write]:
        if out.exists() and not out.is_dir():
            raise UserError(f"{out}: exists and is no folder; layout {form.layout} writes a folder of files.")

        def write(name: str, values: np.ndarray) -> None:
            with atomic_path(file_of(out, name, f".{suffix}")) as temporary:
                save(temporary, values, form)

        yield write

    return layout


def _save_npy(path: Path, values: np.ndarray, form: ExportForm) -> None:
    with path.open("wb") as file:
        np.save(file, values)


def _save_npz(path: Path, values: np.ndarray, form: ExportForm) -> None:
    with path.open("wb") as file:
        arrays: dict[str, Any] = {form.key or DEFAULT_KEYS["npz"]: values}
        np.savez(file, **arrays)


def _save_pt(path: Path, values: np.ndarray, form: ExportForm) -> None:
    import torch

    torch.save(torch.from_numpy(values), path)


def _save_h5(path: Path, values: np.ndarray, form: ExportForm) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file[form.key or DEFAULT_KEYS["h5"]] = values


def _require_file(out: Path, form: ExportForm) -> None:
    if out.is_dir():
        raise UserError(f"{out}: is a folder; layout {form.layout} writes one file, such as {out / 'features.hdf5'}.")


@contextmanager
def _one_hdf5(out: Path, form: ExportForm) -> Iterator[Write]:
    import h5py

    _require_file(out, form)
    with atomic_path(out) as temporary, h5py.File(temporary, "w") as file:

        def write(name: str, values: np.ndarray) -> None:
            try:
                file[f"{name}/{form.key}" if form.key else name] = values
            except OSError as error:
                remedy = "Choose another layout: in one hdf5 file a name cannot also be a folder of others"
                raise UserError(f"{out}: {name!r} cannot be written ({error}). {remedy}") from error

        yield write


@contextmanager
def _one_pickle(out: Path, form: ExportForm) -> Iterator[Write]:
    _require_file(out, form)
    entries: dict[str, np.ndarray] = {}
    yield entries.__setitem__
    with atomic_path(out) as temporary:
        temporary.write_bytes(pickle.dumps(entries))


LAYOUTS: dict[str, Callable] = {
    "npy": _one_file_each("npy", _save_npy),
    "npz": _one_file_each("npz", _save_npz),
    "pt": _one_file_each("pt", _save_pt),
    "h5": _one_file_each("h5", _save_h5),
    "hdf5": _one_hdf5,
    "pickle": _one_pickle,
}
"""Layout -> its writer. A file per video: npy, npz, pt, h5; one file for all: hdf5, pickle (a dict)."""
