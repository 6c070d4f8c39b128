"""Write the captions of a dataset's videos as one table and as subtitles."""

import argparse
import json
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.predictions.answer_tables import read_answers
from workflow_scripts.lib.predictions.caption_files import caption_lines, write_caption_table, write_subtitles
from workflow_scripts.lib.predictions.references import annotations_folder
from workflow_scripts.lib.store.settings_files import window_seconds
from workflow_scripts.lib.store.tables import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of the answers, one per split")
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the system")
    parser.add_argument("--table", required=True, type=Path, help="CSV file to write")
    parser.add_argument("--srt", required=True, type=Path, help="folder of the .srt files")
    args = parser.parse_args()
    settings = json.loads(args.settings.read_text(encoding="utf-8"))
    videos = read_table(annotations_folder(args.settings, settings) / "videos.parquet", ["video_id", "duration_s"])
    durations_s = dict(zip(*(videos[name].to_pylist() for name in ("video_id", "duration_s")), strict=True))
    answers = [row for run in args.runs for row in read_answers(run, "captions").to_pylist()]
    lines = caption_lines(answers, durations_s, window_seconds(settings))
    write_caption_table(args.table, lines)
    write_subtitles(args.srt, lines)


if __name__ == "__main__":
    run_entry_point(main)
