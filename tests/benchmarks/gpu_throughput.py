"""Does a GPU wait for nothing while features are extracted? `python -m tests.benchmarks.gpu_throughput`.

20 generated videos go through the extraction of EVA-CLIP and SlowFast at full size with random weights. In turns:
decoding alone by the workers of the job, forward passes alone on what was decoded, and the job. Asked is that the job
reaches 90 % of the slower of the two; the time of the best round counts. Without a GPU it says so and ends, unless
`--device cpu` tries the path with the small features that are named.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.encoders.interface import Encoder
from tests.benchmarks.made_video import make_video
from tests.decoded import found
from tests.markdown_pages import ROOT
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.extraction.batching import Prefetch, VideoEnd
from workflow_scripts.lib.extraction.job import encode_missing, run_job
from workflow_scripts.lib.extraction.networks import load_encoder, loaded_once
from workflow_scripts.lib.extraction.settings import feature_settings
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.decode import decode_frames, frame_rows
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.sampling import plan_frames
from workflow_scripts.lib.store.shard_job import Computed, Wanted

ASKED = 0.9
SIZE = (640, 360)


class Extraction:
    """One feature on the videos.

    Parameters
    ----------
    paths : id -> video
    settings : content of the feature's settings file
    """

    def __init__(self, paths: dict[str, Path], settings: dict[str, Any]) -> None:
        self.paths, self.settings = paths, settings
        self.runtime, recipe = settings["runtime"], settings["recipe"]
        self.resize = recipe["resize"]
        self.plans = {name: plan_frames(recipe["sampling"], frame_times(path)) for name, path in paths.items()}
        self.found = {name: found(path, self.plans[name].frame_idx) for name, path in paths.items()}
        self.encoder = load_encoder(settings)

    def units_of(self, name: str, _: Encoder | None = None) -> Iterator[np.ndarray]:
        """Decode one video to frames or windows."""
        plan = self.plans[name]

        def deliver(positions: np.ndarray) -> Iterator[np.ndarray]:
            return decode_frames(*self.found[name], positions, self.resize)

        if plan.frames_per_row is None:
            return deliver(plan.frame_idx)
        return frame_rows(deliver, plan.frame_idx, plan.frames_per_row)

    def decode_alone(self) -> tuple[float, list[np.ndarray]]:
        """Return the seconds that decoding takes, and what it gives."""
        started = time.perf_counter()
        ahead = 2 * self.runtime["batch_size"]
        with Prefetch(self.paths, self.units_of, ahead, self.runtime["decode_workers"]) as units:
            decoded = [unit for _, unit in units if not isinstance(unit, VideoEnd)]
        return time.perf_counter() - started, decoded

    def forward_alone(self, units: list[np.ndarray]) -> float:
        """Return the seconds that all forward passes take."""
        size = self.runtime["batch_size"]
        started = time.perf_counter()
        for first in range(0, len(units), size):
            self.encoder.encode(np.stack(units[first : first + size]))
        return time.perf_counter() - started

    def job(self) -> tuple[float, Stalls]:
        """Return the seconds of the job after its network is loaded, and where they went."""
        stalls, begun = Stalls(), []

        def units_of(name: str, encoder: Encoder) -> Iterator[np.ndarray]:
            begun.append(time.perf_counter())
            return self.units_of(name, encoder)

        def compute(missing: Iterable[str]) -> Iterator[Computed]:
            load, runtime = loaded_once(self.settings), self.settings["runtime"]
            return encode_missing(missing, units_of, load, runtime, stalls, lambda name: self.plans[name].times)

        with tempfile.TemporaryDirectory() as temporary:
            wanted = [Wanted(name, name) for name in self.paths]
            run_job(self.settings, Path(temporary) / "0000.zarr", wanted, compute, stalls)
            return time.perf_counter() - min(begun), stalls


def measure(extraction: Extraction, rounds: int) -> float:
    """Print the rounds of one feature and return the best share of the slower half's rate."""
    shares = []
    for _ in range(rounds):
        decode_s, units = extraction.decode_alone()
        forward_s = extraction.forward_alone(units)
        job_s, stalls = extraction.job()
        shares.append(max(decode_s, forward_s) / job_s)
        rates = " ".join(f"{len(units) / seconds:9.1f}" for seconds in (decode_s, forward_s, job_s))
        print(f"{extraction.settings['feature']:20} {rates}  {shares[-1]:7.1%}  {stalls.summary()}", flush=True)
        del units
    return max(shares)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=20, help="number of videos (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="length of a video (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=8, help="decoding threads (default: %(default)s)")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="(default: %(default)s)")
    parser.add_argument("--features", nargs="+", default=["eva_clip_g", "slowfast_r50"], help="features of pictures")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing was measured")
        return 0
    logging.disable(logging.INFO)
    changes = {name: {"weights": "random(0)", "runtime": {"decode_workers": args.workers}} for name in args.features}
    configuration = Configuration({"device": args.device, "features": changes}, ROOT / "config")
    worst = 1.0
    with tempfile.TemporaryDirectory() as temporary:
        paths = {
            f"{i:02}": make_video(Path(temporary) / f"{i:02}.mp4", *SIZE, args.seconds, seed=i)
            for i in range(args.videos)
        }
        print(f"{args.videos} videos of {args.seconds:.0f} s on {args.device}; rows per second")
        print(f"{'feature':20} {'decode':>9} {'forward':>9} {'job':>9}    share  where the job's time went")
        for name in args.features:
            worst = min(worst, measure(Extraction(paths, feature_settings(configuration, "demo", name)), args.rounds))
    print(f"asked: at least {ASKED:.0%} of the slower half's rate: {'held' if worst >= ASKED else 'NOT REACHED'}")
    return int(worst < ASKED)


if __name__ == "__main__":
    sys.exit(main())
