"""Write the report of one system on one dataset: scores, every query with its video, training, provenance."""

import argparse
import json
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.reporting.html import render_report
from workflow_scripts.lib.reporting.shown import Beside, collect_shown
from workflow_scripts.lib.store.atomic import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", required=True, type=Path, help="joined metrics file of the system")
    parser.add_argument("--run", required=True, type=Path, help="results folder of the system")
    parser.add_argument("--out", required=True, type=Path, help="HTML file to write")
    parser.add_argument("--pictures", type=Path, help="folder beside it for thumbnails; without it there are none")
    parser.add_argument("--proxy-clips", action="store_true", help="and for small copies of what browsers do not play")
    parser.add_argument("--ffmpeg", help="program that makes them (default: as in all media jobs)")
    args = parser.parse_args()
    metrics = json.loads(args.metrics.read_text(encoding="utf-8"))
    settings = args.run / "settings.json"
    beside = Beside(args.pictures, args.proxy_clips, args.ffmpeg) if args.pictures else None
    shown = collect_shown(settings, metrics, args.out, beside)
    title = json.loads(settings.read_text(encoding="utf-8"))["config"]["title"]
    write_text(args.out, render_report(title, metrics, shown))


if __name__ == "__main__":
    run_entry_point(main)
