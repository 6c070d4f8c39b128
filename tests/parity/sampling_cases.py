"""Cases of the sampling rules: `tables.json` with what ffmpeg delivered, `clips/` whose frames carry their number."""

import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from tests.decoded import decoded
from tests.parity.harness import Check, has_files
from workflow_scripts.lib.media.clip_windows import slowfast_positions
from workflow_scripts.lib.media.probe import frame_times, probe
from workflow_scripts.lib.media.sampling import plan_frames
from workflow_scripts.lib.media.sparse_sampling import is_constant

# Bit b of a frame's number is the block in row b // 6, column b % 6.
BLOCK_ROWS, BLOCK_COLUMNS = 2, 6


def claims(folder: Path) -> bool:
    """Return whether the folder holds the tables, or is their folder of clips."""
    return _has_tables(folder) or (folder.name == "clips" and _has_tables(folder.parent))


def checks(folder: Path) -> list[Check]:
    """Return the checks of every clip (its probe, its frames, one per table) and those of SlowFast's clips."""
    if not _has_tables(folder):
        return []
    found = []
    tables = json.loads((folder / "tables.json").read_text())
    for clip, table in tables["clips"].items():
        path = folder / "clips" / clip
        found.append(_check(f"{clip}-probe", check_probe, path, table))
        found.append(_check(f"{clip}-frames", check_frames, path, range(table["n_frames"])))
        for rate, row in table["ffmpeg_fps_filter"].items():
            rule = {"rule": "ffmpeg_fps", "rate": rate}
            found.append(_check(f"{clip}-fps-{rate}", check_plan, path, rule, row["indices"]))
        found.append(_check(f"{clip}-seek", check_seek, path, table["cv2_seek_1fps"]))
        for choice in ("head", "uniform"):
            for n_frames, row in table[f"decord_{choice}"].items():
                rule = {"rule": f"lavis_{choice}", "n_frames": int(n_frames)}
                found.append(_check(f"{clip}-{choice}-{n_frames}", check_plan, path, rule, row["indices"]))
    for source, rows in tables["slowfast_clip_index"].items():
        for case, positions in rows.items():
            found.append(_check(f"slowfast-{source}-{case}", check_slowfast, source, case, positions))
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


def check_plan(path: Path, rule: dict, indices: list[int]) -> None:
    """The rule plans these frames, and the planned frames are delivered."""
    plan = plan_frames(rule, frame_times(path))
    assert plan.frame_idx.tolist() == indices
    check_frames(path, indices)


def check_seek(path: Path, indices: list[int]) -> None:
    """OpenCV's frames are planned at a constant rate; at a variable one, where it fails, the frames shown then."""
    media = frame_times(path)
    if not is_constant(media.pts, media.time_base, media.average_rate):
        # The published loop gives frames out of order or does not end: tables of such clips are not to be reproduced.
        seconds = (media.pts - media.pts[0]) * float(media.time_base)
        n_rows = math.ceil((media.end - media.pts[0]) * media.time_base)
        indices = [int(np.flatnonzero(seconds <= second)[-1]) for second in range(n_rows)]
    check_plan(path, {"rule": "seek_per_second"}, indices)


def check_slowfast(source: str, case: str, positions: list[int]) -> None:
    """The fast pathway's 32 frames of a clip; `case` is such as `clip1.5_fps25`."""
    clip_s, rate = re.fullmatch(r"clip([\d.]+)_fps(\d+)", case).groups()
    end = {"hero": "float", "lighthouse": "int"}[source]
    assert slowfast_positions(Fraction(clip_s), Fraction(rate), end).tolist() == positions


def check_frames(path: Path, indices: list[int] | range) -> None:
    """The decoder delivers the frames with these numbers."""
    frames = decoded(path, np.array(indices, np.int64), {"rule": "squash", "size": 96})
    assert [frame_number(frame) for frame in frames] == list(indices)


def frame_number(frame: np.ndarray) -> int:
    """Read the number that a frame (H, W, 3) carries."""
    height, width, _ = frame.shape
    blocks = frame.reshape(BLOCK_ROWS, height // BLOCK_ROWS, BLOCK_COLUMNS, width // BLOCK_COLUMNS, 3).mean((1, 3, 4))
    return int(((blocks > 127).reshape(-1) * (1 << np.arange(BLOCK_ROWS * BLOCK_COLUMNS))).sum())
