"""Cases of the sampling rules: `tables.json` with what ffmpeg delivered, `clips/` whose frames carry their number."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests.parity.harness import Check, has_files
from workflow_scripts.media.decode import decode_frames
from workflow_scripts.media.probe import frame_times, probe
from workflow_scripts.media.sampling import plan_frames

# Bit b of a frame's number is the block in row b // 6, column b % 6.
BLOCK_ROWS, BLOCK_COLUMNS = 2, 6


def claims(folder: Path) -> bool:
    """Return whether the folder holds the tables, or is their folder of clips."""
    return _has_tables(folder) or (folder.name == "clips" and _has_tables(folder.parent))


def checks(folder: Path) -> list[Check]:
    """Return the checks of every clip: its probe, its frames, and one per rate of the fps filter."""
    if not _has_tables(folder):
        return []
    found = []
    for clip, table in json.loads((folder / "tables.json").read_text())["clips"].items():
        path = folder / "clips" / clip
        found.append(_check(f"{clip}-probe", check_probe, path, table))
        found.append(_check(f"{clip}-frames", check_frames, path, range(table["n_frames"])))
        for rate, row in table["ffmpeg_fps_filter"].items():
            found.append(_check(f"{clip}-fps-{rate}", check_plan, path, rate, row["indices"]))
    return found


def _has_tables(folder: Path) -> bool:
    return has_files(folder, "tables.json") and (folder / "clips").is_dir()


def _check(name: str, function: Callable[..., None], *args: object) -> Check:
    run = partial(function, *args)
    return Check(name, lambda data_path: run())


def check_probe(path: Path, table: dict) -> None:
    """The container's statements and the number of frames."""
    info, media = probe(path), frame_times(path)
    assert (info.status, info.n_frames, len(media.pts)) == ("ok", table["n_frames"], table["n_frames"])
    assert info.start_s == table["probe"]["container_start"]
    times_ms = (media.pts * media.time_base * 1000).astype(float)
    np.testing.assert_allclose(times_ms, table["pts_ms"], atol=0.002)


def check_plan(path: Path, rate: str, indices: list[int]) -> None:
    """The fps filter's frames are planned, and the planned frames are delivered."""
    plan = plan_frames({"rule": "ffmpeg_fps", "rate": rate}, frame_times(path))
    assert plan.frame_idx.tolist() == indices
    check_frames(path, indices)


def check_frames(path: Path, indices: list[int] | range) -> None:
    """The decoder delivers the frames with these numbers."""
    frames = decode_frames(path, np.array(indices, np.int64), {"rule": "squash", "size": 96})
    assert [frame_number(frame) for frame in frames] == list(indices)


def frame_number(frame: np.ndarray) -> int:
    """Read the number that a frame (H, W, 3) carries."""
    height, width, _ = frame.shape
    blocks = frame.reshape(BLOCK_ROWS, height // BLOCK_ROWS, BLOCK_COLUMNS, width // BLOCK_COLUMNS, 3).mean((1, 3, 4))
    return int(((blocks > 127).reshape(-1) * (1 << np.arange(BLOCK_ROWS * BLOCK_COLUMNS))).sum())
