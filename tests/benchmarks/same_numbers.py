"""Do systems give the same metrics on the demo as at another revision? Trains both, from the demo's own features.

    python -m tests.benchmarks.same_numbers 0487127 --systems img mrnet

Both trainings run on this machine with the packages that are installed, seed 0. Prints every number that differs and
ends with status 1 if there is one. The other revision is checked out into a temporary folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.unit.test_demo_scores import differences

ROOT = Path(__file__).resolve().parents[2]
COMPARED = ("metrics", "groups", "ablations", "variations", "predictors", "query_scores", "confidence", "counts")


def trained(code: Path, results: Path, systems: list[str], cores: str, changes: list[str]) -> dict[str, dict]:
    """Run the workflow of a checkout in an empty folder and return the metrics of every system."""
    targets = [f"results/demo/{system}/metrics.json" for system in systems]
    config = ["--config", *changes] if changes else []
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(code / "Snakefile"), "--cores", cores]
    subprocess.run([*command, "--directory", str(results), *config, "--", *targets], check=True)
    return {system: json.loads((results / path).read_text()) for system, path in zip(systems, targets, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="what to compare with")
    parser.add_argument("--systems", nargs="+", default=["img", "mrnet"], help="systems of the demo")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--config", nargs="*", default=[], help="settings for both, as Snakemake takes them")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        before, now, code = (Path(place) / name for name in ("before", "now", "code"))
        subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(code), args.revision], check=True)
        try:
            wanted = trained(code, before, args.systems, args.cores, args.config)
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(code)], check=True)
        found = trained(ROOT, now, args.systems, args.cores, args.config)
    lines = [
        f"{system}{line}"
        for system in args.systems
        for key in COMPARED
        for line in differences(wanted[system][key], found[system].get(key), f"/{key}")
    ]
    print("\n".join(lines) or f"{', '.join(args.systems)}: every number is the same")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
