"""Fetch the videos of a dataset that YouTube still has, with yt-dlp, and report those that are gone."""

import argparse
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.fetching.youtube import Program, fetch_clips, read_clips, write_report
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.store.settings_files import add_settings_options, read_settings


def main() -> None:
    """Fetch what is missing, report what stays missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_settings_options(parser)
    parser.add_argument("--ids", required=True, type=Path, help="table of ids (TSV)")
    parser.add_argument("--record", required=True, type=Path, help="what happened to every video, kept between calls")
    parser.add_argument("--out", required=True, type=Path, help="report of gone and failed videos (TSV)")
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings, arguments.key)
    program = Program(settings["program"], ffmpeg_exe(settings["ffmpeg"]), settings["height"])
    clips = read_clips(arguments.ids)
    outcomes = fetch_clips(clips, Path(settings["videos"]), settings["extensions"], arguments.record, program)
    write_report(arguments.out, outcomes)


if __name__ == "__main__":
    run_entry_point(main)
