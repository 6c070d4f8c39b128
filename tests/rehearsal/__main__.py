"""Rehearse systems and encoders at full size: python -m tests.rehearsal [SYSTEM DATASET | --encoders [FEATURE ...]].

Random weights, made inputs, nothing is downloaded: two training steps with the optimiser's, one answer, one checkpoint
that is written, read and gone on from; of an encoder two batches. Without a GPU a network that does not fit is cut
down, and the table says so. Without arguments all of SYSTEMS and ENCODERS, each in a process of its own. With `--write`
what a GPU showed is entered into docs/gpu.md.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

from tests.markdown_pages import ROOT
from tests.rehearsal.encoders import features_by_encoder, rehearse_encoder
from tests.rehearsal.machine import Machine
from tests.rehearsal.page import enter
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
    parser.add_argument("--write", action="store_true", help="enter the rows of a GPU into docs/gpu.md")
    args = parser.parse_args()
    if args.system and not args.dataset:
        parser.error("a system is rehearsed on a dataset: name both")
    if args.system is None and args.encoders is None:
        sys.exit(all_in_turn(args.write))
    machine, configuration = Machine(), Configuration({}, ROOT / "config")
    print(f"machine: {machine.name}", flush=True)
    if args.encoders is None:
        found = rehearse(configuration, args.dataset, args.system, machine, args.seconds)
    elif len(args.encoders) == 1:
        found = rehearse_encoder(configuration, args.encoders[0], machine)
    else:
        names = args.encoders or features_by_encoder(configuration).values()
        sys.exit(in_turn((("--encoders", name) for name in names), args.write))
    show(found)
    if args.write and machine.is_gpu and "not run" not in found:
        enter(found)


def all_in_turn(writes: bool) -> int:
    """Rehearse everything that stands in docs/gpu.md; return 1 if anything failed."""
    return in_turn([*SYSTEMS, *(("--encoders", name) for name in ENCODERS)], writes)


def in_turn(every: Iterable[Sequence[str]], writes: bool) -> int:
    """Rehearse one after the other, each in a process of its own, so that none has the memory of those before."""
    call, also = [sys.executable, "-m", "tests.rehearsal"], ["--write"] * writes
    codes = [subprocess.run([*call, *each, *also], check=False).returncode for each in every]
    return int(any(codes))


def show(found: Mapping[str, str]) -> None:
    """Print what was seen."""
    for heading, value in found.items():
        print(f"{heading}: {value}", flush=True)


if __name__ == "__main__":
    run_entry_point(main)
