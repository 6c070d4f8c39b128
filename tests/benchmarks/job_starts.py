"""Processor time until a CLIP tower has encoded its first input, without open_clip and with it, in turns.

The network is that of the demo, in fresh processes: what is measured is imports and building.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, benchmark_parser, tell

ROOT = Path(__file__).resolve().parents[2]
SIZES = {
    "embed_dim": 128,
    "vision": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 8, "head_width": 32},
    "text": {"layers": 1, "width": 64, "heads": 2},
}
BY_THE_PACKAGE = "from models.encoders.networks import clip as networks; networks.plain_settings = lambda sizes: None; "
TOWERS = {
    "image": "import numpy; from models.encoders import clip as tower; given = numpy.zeros((1, 64, 64, 3), 'uint8')",
    "text": "from models.encoders import clip_text as tower; given = ['a dog']",
}


def processor_seconds(code: str) -> float:
    """Return what a fresh Python takes for a program."""
    before = os.times()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def measured(n_times: int) -> Iterator[Figure]:
    """Yield seconds and ratios, the least of so many measurements."""
    for tower, given in TOWERS.items():
        code = f"{given}; tower.load(tower.Config(architecture={SIZES}), 0, 'cpu').encode(given)"
        pairs = [(processor_seconds(code), processor_seconds(BY_THE_PACKAGE + code)) for _ in range(n_times)]
        own, package = map(min, zip(*pairs, strict=True))
        what = f"start of a CLIP job to its first row, {tower} tower"
        yield Figure(f"{what}: processor time", own, "s")
        yield Figure(f"{what}: the same with open_clip over it", package / own, "x", "larger")


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="the least of so many measurements is shown")
    args = parser.parse_args()
    return tell(measured(args.repeat), args.json)


if __name__ == "__main__":
    sys.exit(main())
