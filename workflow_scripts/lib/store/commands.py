"""What `python -m workflow_scripts.store` does: print, verify, repair, export, prune."""

import argparse
import shlex
import subprocess
import sys
from datetime import datetime

from workflow_scripts.lib.store.cache import CachedRecipe, prune_cache, read_cache
from workflow_scripts.lib.store.export import ExportForm, export_feature
from workflow_scripts.lib.store.inventory import (
    describe_feature,
    describe_rows,
    feature_root,
    features_table,
    find_features,
    summarise_feature,
)
from workflow_scripts.lib.store.verification import Verified, failed_videos, repair_feature, verify_feature


def list_features(args: argparse.Namespace) -> None:
    """`ls`."""
    print(features_table([summarise_feature(root) for root in find_features(args.folder)]))


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
