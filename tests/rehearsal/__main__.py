"""Rehearse systems and encoders at full size: python -m tests.rehearsal [SYSTEM DATASET | --encoders [FEATURE ...]].

Random weights, made inputs, nothing is downloaded: two training steps with the optimiser's, one answer, one checkpoint
that is written, read and gone on from; of an encoder two batches. Without a GPU a network that does not fit is cut
down, and the table says so. Without arguments all of SYSTEMS and ENCODERS, each in a process of its own.
"""

import argparse
import subprocess
import sys

from tests.markdown_pages import ROOT
from tests.rehearsal.encoders import features_by_encoder, rehearse_encoder
from tests.rehearsal.machine import Machine
from tests.rehearsal.systems import rehearse
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import run_entry_point

SYSTEMS = (
    ("calce_stage1", "qvh"),
    ("calce", "qvh"),
    ("img", "charades"),
    ("mrnet", "tacos"),
    ("quag", "hirest"),
    ("uniq4cap", "msrvtt"),
)
ENCODERS = ("eva_clip_g", "clip_b32", "slowfast_r50", "i3d_kinetics", "cnn14", "whisper_large_v3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", nargs="?", help="name of a file in config/systems")
    parser.add_argument("dataset", nargs="?", help="name of a file in config/datasets")
    parser.add_argument("--encoders", nargs="*", metavar="FEATURE", help="features; none named: one of every encoder")
    parser.add_argument("--seconds", type=float, default=150, help="length of a video (default: %(default)s)")
    args = parser.parse_args()
    if args.system and not args.dataset:
        parser.error("a system is rehearsed on a dataset: name both")
    if args.system is None and args.encoders is None:
        sys.exit(all_in_turn())
    machine, configuration = Machine(), Configuration({}, ROOT / "config")
    print(f"machine: {machine.name}", flush=True)
    if args.encoders is None:
        show(rehearse(configuration, args.dataset, args.system, machine, args.seconds))
    elif len(args.encoders) == 1:
        show(rehearse_encoder(configuration, args.encoders[0], machine))
    else:
        sys.exit(in_turn(("--encoders", name) for name in args.encoders or features_by_encoder(configuration).values()))


def all_in_turn() -> int:
    """Rehearse everything that stands in docs/gpu.md; return 1 if anything failed."""
    return in_turn([*SYSTEMS, *(("--encoders", name) for name in ENCODERS)])


def in_turn(every) -> int:
    """Rehearse one after the other, each in a process of its own, so that none has the memory of those before."""
    codes = [subprocess.run([sys.executable, "-m", "tests.rehearsal", *each], check=False).returncode for each in every]
    return int(any(codes))


def show(found: dict[str, str]) -> None:
    """Print what was seen, and the same as a row of the table in docs/gpu.md."""
    for heading, value in found.items():
        print(f"{heading}: {value}")
    print("| " + " | ".join(found.values()) + " |", flush=True)


if __name__ == "__main__":
    run_entry_point(main)
