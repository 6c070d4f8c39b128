"""Look at feature stores, check and repair them, and write them in other forms."""

import argparse
import logging
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from workflow_scripts.errors import run_entry_point
from workflow_scripts.store.cache import CachedRecipe, prune_cache, read_cache
from workflow_scripts.store.export import LAYOUTS, ExportForm, export_feature
from workflow_scripts.store.listing import (
    describe_feature,
    describe_rows,
    feature_root,
    features_table,
    find_features,
    summarise,
)
from workflow_scripts.store.shard_store import use_zarrs
from workflow_scripts.store.verification import Verified, failed_videos, repair_feature, verify_feature

log = logging.getLogger(__name__)


def list_features(args: argparse.Namespace) -> None:
    """`ls`."""
    print(features_table([summarise(root) for root in find_features(args.folder)]))


def show(args: argparse.Namespace) -> None:
    """`show`."""
    root = feature_root(args.feature, args.results)
    print(describe_rows(root, args.id) if args.id else describe_feature(root))


def _report(verified: Verified) -> None:
    for problem in verified.problems:
        print(f"{problem.where}\t{problem.id or 'all of it'}\t{problem.found}")
    print(
        f"{verified.root}: {verified.n_shards} shards, {verified.n_videos} videos read, "
        f"{len(verified.problems)} problems"
    )


def verify(args: argparse.Namespace) -> None:
    """`verify`; ends with status 1 if anything is wrong."""
    verified = verify_feature(feature_root(args.feature, args.results), args.sample, args.seed)
    _report(verified)
    if verified.problems:
        print(f"To make them again: python -m workflow_scripts.store repair {verified.root}")
        sys.exit(1)


def repair(args: argparse.Namespace) -> None:
    """`repair`."""
    verified = verify_feature(feature_root(args.feature, args.results))
    if args.failed:
        verified.problems += failed_videos(verified)
    _report(verified)
    arguments = repair_feature(verified)
    if arguments is None:
        return
    separator = arguments.index("--")
    arguments[separator:separator] = args.snakemake_options or []
    print(f"Taken out. This makes it again, and nothing else:\n{shlex.join(['snakemake', *arguments])}", flush=True)
    if args.snakemake_options is not None:
        sys.exit(subprocess.run([sys.executable, "-m", "snakemake", *arguments], check=False).returncode)


def export(args: argparse.Namespace) -> None:
    """`export`."""
    form = ExportForm(args.layout, args.key, args.name, args.dtype, args.spatial_axes)
    counts = export_feature(feature_root(args.feature, args.results), args.out, form)
    print(f"{args.out}: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items())))


def _print_cached(recipes: list[CachedRecipe]) -> None:
    for recipe in recipes:
        used = datetime.fromtimestamp(recipe.last_used).strftime("%Y-%m-%d")
        users = ", ".join(str(path.parent) for path in recipe.users) or "nobody"
        print(
            f"{recipe.folder.name}\t{recipe.n_videos} videos\t{recipe.n_bytes / 1e6:.1f} MB\tlast used {used} "
            f"by {users}"
        )
    print(f"{len(recipes)} recipes, {sum(recipe.n_bytes for recipe in recipes) / 1e6:.1f} MB")


def show_cache(args: argparse.Namespace) -> None:
    """`cache`."""
    _print_cached(read_cache(args.folder))


def prune(args: argparse.Namespace) -> None:
    """`prune`."""
    print("Would be deleted:" if args.dry_run else "Deleted:")
    _print_cached(prune_cache(args.folder, args.unused_days, args.dry_run))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m workflow_scripts.store", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, run, summary: str, takes_feature: bool = True) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=summary, description=summary)
        made.set_defaults(run=run)
        if takes_feature:
            made.add_argument("feature", help="DATASET/FEATURE, or the feature's folder")
            made.add_argument("--results", type=Path, default=Path("results"), help="folder of all results")
        return made

    ls = command("ls", list_features, "list the features of all datasets, or of one", takes_feature=False)
    ls.add_argument("folder", nargs="?", type=Path, default=Path("results"), help="`results` or `results/<dataset>`")
    one = command("show", show, "show sizes and recipe of a feature, or the rows of one id")
    one.add_argument("id", nargs="?", help="video id (query id for text features)")
    check = command("verify", verify, "read the rows with their checksums; status 1 and a list if any are damaged")
    check.add_argument("--sample", type=int, metavar="N", help="read only N videos, drawn at random; default: all")
    check.add_argument("--seed", type=int, default=0, help="seed of the draw")
    mend = command("repair", repair, "verify everything and take out what is damaged, so that just that is made again")
    mend.add_argument("--failed", action="store_true", help="also take out videos that failed: they are tried again")
    mend.add_argument(
        "--run",
        nargs=argparse.REMAINDER,
        dest="snakemake_options",
        metavar="OPTION",
        help="make it again at once, by Snakemake with these further options; last on the line",
    )
    write = command("export", export, "write a feature in a form that published code reads")
    write.add_argument("--layout", required=True, choices=list(LAYOUTS), help="a file per video, or one hdf5 or pickle")
    write.add_argument("--out", required=True, type=Path, help="folder, or file of the layouts hdf5 and pickle")
    write.add_argument("--key", help="array in an npz (default: features) or h5 file (feature); hdf5: <name>/<key>")
    write.add_argument("--name", default="{id}", help="name without suffix, such as {id}.mp4 or qid{source_query_id}")
    write.add_argument("--dtype", choices=["float32", "float16"], default="float32", help="number format")
    write.add_argument("--spatial-axes", action="store_true", help="write (T, 1, 1, D), not (T, D)")
    cached = command("cache", show_cache, "list a feature cache: recipes, sizes, who uses them", takes_feature=False)
    cached.add_argument("folder", type=Path, help="`paths.feature_cache` of config/config.yaml")
    clean = command("prune", prune, "delete the recipes that no results folder uses any more", takes_feature=False)
    clean.add_argument("folder", type=Path, help="`paths.feature_cache` of config/config.yaml")
    clean.add_argument("--unused-days", type=float, default=30, metavar="N", help="keep what was used since (30)")
    clean.add_argument("--dry-run", action="store_true", help="only list them")
    return parser.parse_args()


def main() -> None:
    args = parse()
    use_zarrs()
    args.run(args)


if __name__ == "__main__":
    run_entry_point(main)
