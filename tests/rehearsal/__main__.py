"""Rehearse a system on a dataset at full size: python -m tests.rehearsal SYSTEM DATASET [--seconds S].

Random weights, made inputs, nothing is downloaded: two training steps with the optimiser's, one answer, one checkpoint
that is written, read and gone on from. Without a GPU a network that does not fit is cut down, and the table says so.
"""

import argparse

from tests.markdown_pages import ROOT
from tests.rehearsal.machine import Machine
from tests.rehearsal.systems import rehearse
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import run_entry_point


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", help="name of a file in config/systems")
    parser.add_argument("dataset", help="name of a file in config/datasets")
    parser.add_argument("--seconds", type=float, default=150, help="length of a video (default: %(default)s)")
    args = parser.parse_args()
    machine, configuration = Machine(), Configuration({}, ROOT / "config")
    print(f"machine: {machine.name}")
    for heading, value in rehearse(configuration, args.dataset, args.system, machine, args.seconds).items():
        print(f"{heading}: {value}")


if __name__ == "__main__":
    run_entry_point(main)
