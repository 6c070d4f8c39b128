"""What importing the published rows of many small videos costs: `python -m tests.benchmarks.imports`.

Every video is a file of a few KB; all shards of the dataset are imported one after another by the entry point, in this
process, so that the start of a job is not counted. Printed are the seconds for one shard of all videos and for shards
of the usual size, and how often the disk was made to write (`fsync`, `fdatasync`), which takes most of the time on a
slow one.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.benchmarks.short_clips import run
from tests.unit.made_settings import feature_options
from workflow_scripts import import_features
from workflow_scripts.lib.store.shards import VIDEOS_PER_SHARD, all_shards
from workflow_scripts.lib.store.tables import write_table

N_ROWS, DIM, ROW_S = 32, 64, 2.0
RECIPE = {
    "kind": "visual",
    "layout": "npy",
    "key": None,
    "times": ROW_S,
    "tolerance_s": None,
    "on_wrong_length": "keep",
    "store_dtype": "float16",
}


def make_rows(folder: Path, n_videos: int) -> tuple[Path, Path]:
    """Write a file of rows for every video, each of its own content; return their folder and the table of videos."""
    files, rng = folder / "files", np.random.default_rng(0)
    files.mkdir()
    names = [f"video{number:06}" for number in range(n_videos)]
    for name in names:
        np.save(files / f"{name}.npy", rng.standard_normal((N_ROWS, DIM), np.float32).astype(np.float16))
    known = {"youtube_id": None, "duration_s": N_ROWS * ROW_S}
    rows = [{"video_id": name, "source_video_id": name, **known} for name in names]
    write_table(folder / "videos.parquet", pa.Table.from_pylist(rows))
    return files, folder / "videos.parquet"


def import_all(feature: Path, files: Path, table: Path, n_shards: int) -> np.ndarray:
    """Import all shards into a folder; return the seconds, and those of the processor."""
    source = {"path": str(files), "id_pattern": "{video_id}.npy"}
    settings = {"feature": feature.name, "recipe": RECIPE, "folder": None, "source": source, "feature_cache": None}
    known = (*feature_options(feature / "settings.json", settings), "--rows-of", table, "--n-shards", n_shards)
    seconds = np.zeros(2)
    for shard in all_shards(n_shards):
        out = ("--store", feature / f"{shard}.zarr", "--report", feature / f"{shard}.import.tsv")
        seconds += run(import_features, *known, "--shard", shard, *out)
    return seconds


@contextlib.contextmanager
def counted_syncs() -> Iterator[list[int]]:
    """Count the calls that wait for the disk; the list holds one entry for each."""
    calls: list[int] = []
    real = {name: getattr(os, name) for name in ("fsync", "fdatasync")}

    def counting(name: str):
        def synced(descriptor: int) -> None:
            calls.append(descriptor)
            real[name](descriptor)

        return synced

    for name in real:
        setattr(os, name, counting(name))
    try:
        yield calls
    finally:
        for name, sync in real.items():
            setattr(os, name, sync)


def measured(n_videos: int) -> Iterator[Figure]:
    """Yield what a video costs, as one shard of all and in shards of the usual size."""
    with tempfile.TemporaryDirectory() as temporary:
        files, table = make_rows(Path(temporary), n_videos)
        for n_shards in (1, max(1, round(n_videos / VIDEOS_PER_SHARD))):
            with counted_syncs() as syncs:
                wall_s, used_s = import_all(Path(temporary) / f"of_{n_shards}", files, table, n_shards)
            what = f"import of {n_videos:,} small videos, shards: {n_shards}"
            print(f"{what}: {wall_s:.1f} s by the clock")
            yield Figure(f"{what}: processor time per video", 1000 * used_s / n_videos, "ms")
            yield Figure(f"{what}: syncs per video", len(syncs) / n_videos)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=20_000, help="number of videos (default: %(default)s)")
    args = parser.parse_args()
    return tell(measured(args.videos), args.json)


if __name__ == "__main__":
    sys.exit(main())
