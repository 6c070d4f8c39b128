"""Search the videos of a dataset on a page of this machine, play what is found, correct it and keep it as annotations.

    python -m workflow_scripts.browse trips
    python -m workflow_scripts.browse /data/Trips --system zero_shot --system zero_shot_speech_tiny

The page needs the address that is printed, with its token. What is kept is a file of the format `plain`, which the
section `annotations` of a dataset can name (docs/report.md).
"""

import argparse
import logging
import os
from pathlib import Path

from workflow_scripts.lib.browsing.answers import Answers
from workflow_scripts.lib.browsing.clips import Clips
from workflow_scripts.lib.browsing.corrections import Corrections
from workflow_scripts.lib.browsing.server import Server, Site
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.layers import read_yaml
from workflow_scripts.lib.configuration.schema import Dataset
from workflow_scripts.lib.datasets.own_folder import require_folder_of_videos
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.search.folder_dataset import dataset_of
from workflow_scripts.lib.search.searcher import Searcher
from workflow_scripts.search import ROOT, make

log = logging.getLogger(__name__)


def main() -> None:
    """Make what is missing, then serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default="demo", help="a dataset, or a folder of videos (default: demo)")
    parser.add_argument("--system", action="append", help="what is compared, as of workflow_scripts.search")
    parser.add_argument("--keep", type=Path, help="file for moments (default: <dataset>_moments.jsonl)")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--proxy-clips", action="store_true", help="show small copies where the browser does not play")
    args = parser.parse_args()
    config = ROOT / "config"
    name = args.dataset
    if not (config / "datasets" / f"{name}.yaml").is_file():
        folder, extensions = require_folder_of_videos(Path(name)), Dataset.model_fields["extensions"].default
        name = dataset_of(folder, config / "datasets", extensions, os.cpu_count() or 1)
    configuration = Configuration(read_yaml(config / "config.yaml"), config)
    systems = dict.fromkeys(args.system or ["zero_shot"])
    searchers = [Searcher(configuration, name, system, make) for system in systems]
    for searcher in searchers:
        # Networks are loaded before somebody waits for a first answer.
        searcher.row_of([(1, name)])
    answers = Answers(searchers)
    corrections = Corrections(args.keep or Path(f"{name}_moments.jsonl"), answers.files)
    clips = Clips(configuration.root.paths.ffmpeg) if args.proxy_clips else None
    server = Server(Site(name, Path(configuration.dataset(name).videos), answers, corrections, clips), args.port)
    # The address goes to who started this, not into a log.
    print(f"Open {server.address}\nMoments are kept in {corrections.path.resolve()}. Ctrl-C ends.", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        log.info("ended; %d moments are in %s", len(corrections.rows()), corrections.path)


if __name__ == "__main__":
    run_entry_point(main)
