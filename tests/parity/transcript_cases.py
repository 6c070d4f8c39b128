"""Cases of HiREST's time rules: `timestamp_map.json`, and subtitles warped to seconds (`data_srt.json`)."""

import json
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from models.layers.time_alignment import resample_rows, row_of_second, second_of_row, time_grid, warp_to_seconds
from tests.parity.harness import Check, has_files
from workflow_scripts.lib.datasets.srt import parse_srt

MAP = "timestamp_map.json"
WARPED = ("data_srt.json", "data_raw.safetensors", "dataset_items.json", "batch_plan.json", "batches.safetensors")


def claims(folder: Path) -> bool:
    """Return whether the folder holds one of the two kinds."""
    return (folder / MAP).is_file() or has_files(folder, *WARPED)


def checks(folder: Path) -> list[Check]:
    """Return one check of the map, and one per batch with subtitles."""
    found = [Check("timestamp_map", partial(check_map, folder / MAP))] if (folder / MAP).is_file() else []
    if has_files(folder, *WARPED):
        plan = json.loads((folder / "batch_plan.json").read_text())
        found += [Check(f"subtitles-{name}", partial(check_batch, folder, name, batch)) for name, batch in plan.items()]
    return found


def check_map(path: Path, data_path: Path | None) -> None:
    """Seconds to rows and back, for one row per second and for fixed numbers of rows."""
    for case in json.loads(path.read_text()):
        grid = time_grid(case["duration"], case["n_frames"])
        row = row_of_second(case["timestamp"], grid)
        assert (row, second_of_row(row, grid)) == (case["index"], case["back"]), case


def check_batch(folder: Path, name: str, batch: dict, data_path: Path | None) -> None:
    """The subtitles of every item of a batch, filled up with zeros to the longest video."""
    items = json.loads((folder / "dataset_items.json").read_text())[f"{batch['split']}.{batch['task']}"]
    subtitles, raw = json.loads((folder / "data_srt.json").read_text()), load_file(folder / "data_raw.safetensors")
    expected = load_file(folder / "batches.safetensors")[f"{name}.asr_feats"]
    for item, index in enumerate(batch["indices"]):
        video, n_rows = Path(items[index]["fname"]).stem, items[index]["n_model_frames"]
        spans = [(line.start_s, line.end_s) for line in parse_srt(subtitles[video], f"{video}.srt")]
        length = items[index]["video_duration"] if n_rows < 0 else n_rows
        rows = warp_to_seconds(raw[f"asr_segments.{video}"], spans, length)
        rows = rows if n_rows < 0 else resample_rows(rows, n_rows)
        assert np.array_equal(rows, expected[item, :length]), video
        assert not expected[item, length:].any()
