"""Look at feature stores, check and repair them, and write them in other forms."""

import argparse
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store import commands
from workflow_scripts.lib.store.export import LAYOUTS


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.store", description=__doc__)
    parsers = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, run, summary: str, takes_feature: bool = True) -> argparse.ArgumentParser:
        made = parsers.add_parser(name, help=summary, description=summary)
        made.set_defaults(run=run)
        if takes_feature:
            made.add_argument("feature", help="DATASET/FEATURE, or the feature's folder")
            made.add_argument("--results", type=Path, default=Path("results"), help="folder of all results")
        return made

    ls = command("ls", commands.list_features, "list the features of all datasets, or of one", takes_feature=False)
    ls.add_argument("folder", nargs="?", type=Path, default=Path("results"), help="`results` or `results/<dataset>`")
    one = command("show", commands.show, "show sizes and recipe of a feature, or the rows of one id")
    one.add_argument("id", nargs="?", help="video id (query id for text features)")
    check = command(
        "verify", commands.verify, "read the rows with their checksums; status 1 and a list if any are damaged"
    )
    check.add_argument("--sample", type=int, metavar="N", help="read only N videos, drawn at random; default: all")
    check.add_argument("--seed", type=int, default=0, help="seed of the draw")
    mend = command(
        "repair", commands.repair, "verify everything and take out what is damaged, so that just that is made again"
    )
    mend.add_argument("--failed", action="store_true", help="also take out videos that failed: they are tried again")
    mend.add_argument(
        "--run",
        nargs=argparse.REMAINDER,
        dest="snakemake_options",
        metavar="OPTION",
        help="make it again at once, by Snakemake with these further options; last on the line",
    )
    write = command("export", commands.export, "write a feature in a form that published code reads")
    write.add_argument("--layout", required=True, choices=list(LAYOUTS), help="a file per video, or one hdf5 or pickle")
    write.add_argument("--out", required=True, type=Path, help="folder, or file of the layouts hdf5 and pickle")
    write.add_argument("--key", help="array in an npz (default: features) or h5 file (feature); hdf5: <name>/<key>")
    write.add_argument("--name", default="{id}", help="name without suffix, such as {id}.mp4 or qid{source_query_id}")
    write.add_argument("--dtype", choices=["float32", "float16"], default="float32", help="number format")
    write.add_argument("--spatial-axes", action="store_true", help="write (T, 1, 1, D), not (T, D)")
    cached = command(
        "cache", commands.show_cache, "list a feature cache: recipes, sizes, who uses them", takes_feature=False
    )
    cached.add_argument("folder", type=Path, help="`paths.feature_cache` of config/config.yaml")
    clean = command(
        "prune", commands.prune, "delete the recipes that no results folder uses any more", takes_feature=False
    )
    clean.add_argument("folder", type=Path, help="`paths.feature_cache` of config/config.yaml")
    clean.add_argument("--unused-days", type=float, default=30, metavar="N", help="keep what was used since (30)")
    clean.add_argument("--dry-run", action="store_true", help="only list them")
    return parser.parse_args()


def main() -> None:
    args = parse()
    args.run(args)


if __name__ == "__main__":
    run_entry_point(main)
