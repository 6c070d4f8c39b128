"""Fetch the videos of a dataset that YouTube still has, with yt-dlp, and report those that are gone."""

import argparse
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.fetching.youtube import Program, fetch_clips, read_clips, write_report
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe


def main() -> None:
    """Fetch what is missing, report what stays missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", required=True, type=Path, help="table of ids (TSV)")
    parser.add_argument("--videos", required=True, type=Path, metavar="DIR", help="folder of the videos")
    parser.add_argument("--extensions", required=True, type=lambda text: text.split(","), help="of video files")
    parser.add_argument("--program", default="yt-dlp", help="yt-dlp program")
    parser.add_argument("--ffmpeg", help="ffmpeg program to use instead of the bundled one")
    parser.add_argument("--height", type=int, default=480, help="largest height, pixels")
    parser.add_argument("--record", required=True, type=Path, help="what happened to every video, kept between calls")
    parser.add_argument("--out", required=True, type=Path, help="report of gone and failed videos (TSV)")
    arguments = parser.parse_args()
    program = Program(arguments.program, ffmpeg_exe(arguments.ffmpeg), arguments.height)
    clips = read_clips(arguments.ids)
    outcomes = fetch_clips(clips, arguments.videos, arguments.extensions, arguments.record, program)
    write_report(arguments.out, outcomes)


if __name__ == "__main__":
    run_entry_point(main)
