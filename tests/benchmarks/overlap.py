"""Does extraction run at the speed of its slower half? `python -m tests.benchmarks.overlap`.

24 generated videos go through the part of an extraction job that is the same for every feature, into a real store. The
network is a CLIP image tower with random weights, made as deep as it takes for its forward passes to last as long as
decoding; one thread each. In every round, in turns: decoding alone, forward passes alone, the job, and the same job
with a decoder that works only while the network waits. The best round counts: what else the machine does adds time.
"""

import dataclasses
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from models.encoders.interface import Encoder
from tests.benchmarks.decoders import measured
from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.benchmarks.made_video import make_video
from tests.decoded import found
from workflow_scripts.lib.extraction import job
from workflow_scripts.lib.extraction.batching import Unit, VideoEnd
from workflow_scripts.lib.extraction.networks import load_encoder, loaded_once
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.decode import DECODERS, decode_frames
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.sampling import plan_frames
from workflow_scripts.lib.store.shard_job import Computed, Wanted

MAX_RATIO, MAX_GAP_PERCENT = 1.25, 2
BALANCE = (0.7, 1.4)
SAMPLING = {"rule": "ffmpeg_fps", "rate": 2}
RESIZE = {"rule": "squash", "size": 64}
BATCH_SIZE = 16
SIZE, SECONDS = (640, 360), 8


class OneAfterTheOther:
    """Stands in for `Prefetch`: a video is decoded when the network asks for its units, not before."""

    idle_s = 0.0

    def __init__(self, ids: Sequence[str], units_of: Callable[[str], Iterable[np.ndarray]], *_: int) -> None:
        self._units = ((video_id, unit) for video_id in ids for unit in [*units_of(video_id), VideoEnd()])

    def __enter__(self) -> Self:
        return self

    def __iter__(self) -> Iterator[tuple[str, Unit]]:
        return self._units

    def __exit__(self, *_: object) -> None:
        self._units.close()


@dataclasses.dataclass(frozen=True)
class Round:
    """Wall seconds of one round; `stalls` belongs to the overlapping job."""

    decode_s: float
    forward_s: float
    job_s: float
    serial_s: float
    stalls: Stalls

    @property
    def slower_s(self) -> float:
        return max(self.decode_s, self.forward_s)


class Bench:
    """The videos, their plans, and the settings of a feature on them."""

    def __init__(self, folder: Path, n_videos: int, decoder: str) -> None:
        self.folder, self.decoder = folder, decoder
        self.paths = {f"{i:02}": make_video(folder / f"{i:02}.mp4", *SIZE, SECONDS, seed=i) for i in range(n_videos)}
        self.plans = {name: plan_frames(SAMPLING, frame_times(path)) for name, path in self.paths.items()}
        self.found = {name: found(path, self.plans[name].frame_idx) for name, path in self.paths.items()}
        self.frames = [frame for name in self.paths for frame in self.units_of(name)]

    def units_of(self, name: str) -> Iterator[np.ndarray]:
        """Decode one video."""
        return decode_frames(*self.found[name], self.plans[name].frame_idx, RESIZE, decoder=self.decoder)

    def settings(self, layers: int) -> dict[str, Any]:
        """Return the settings of a feature whose network has so many layers."""
        vision = {"image_size": 64, "layers": layers, "width": 192, "patch_size": 8, "head_width": 32}
        architecture = {"embed_dim": 128, "vision": vision, "text": {"layers": 1, "width": 64, "heads": 2}}
        return {
            "recipe": {"encoder": "clip", "params": {"architecture": architecture}, "store_dtype": "float16"},
            "weights": {"seed": 0},
            "device": "cpu",
            "feature_cache": None,
            "runtime": {"batch_size": BATCH_SIZE, "decode_workers": 1},
        }

    def decode_alone(self) -> float:
        """Return the seconds that decoding all videos takes."""
        started = time.perf_counter()
        for name in self.paths:
            for _ in self.units_of(name):
                pass
        return time.perf_counter() - started

    def forward_alone(self, encoder: Encoder) -> float:
        """Return the seconds that all forward passes take."""
        started = time.perf_counter()
        for first in range(0, len(self.frames), BATCH_SIZE):
            encoder.encode(np.stack(self.frames[first : first + BATCH_SIZE]))
        return time.perf_counter() - started

    def run_job(self, settings: dict[str, Any]) -> tuple[float, Stalls]:
        """Return the seconds that the whole job takes, the loading of its network included, and where they went."""
        stalls = Stalls()

        def compute(missing: list[str]) -> Iterator[Computed]:
            return job.encode_missing(
                missing,
                lambda name, _: self.units_of(name),
                loaded_once(settings),
                settings["runtime"],
                stalls,
                lambda name: self.plans[name].times,
            )

        with tempfile.TemporaryDirectory(dir=self.folder) as temporary:
            started = time.perf_counter()
            wanted = [Wanted(name, name) for name in self.paths]
            job.run_job(settings, Path(temporary) / "0000.zarr", wanted, compute, stalls)
            return time.perf_counter() - started, stalls

    def run_without_overlap(self, settings: dict[str, Any]) -> float:
        """Return the seconds of the same job with a decoder that works only when it is asked."""
        ahead = job.Prefetch
        job.Prefetch = OneAfterTheOther
        try:
            return self.run_job(settings)[0]
        finally:
            job.Prefetch = ahead

    def balanced_layers(self) -> int:
        """Return how many layers make the forward passes about as long as decoding, in seconds of one processor."""
        decode_s = measured(self.decode_alone)[1]
        few, many = (measured(partial(self.forward_alone, load_encoder(self.settings(layers))))[1] for layers in (1, 9))
        return max(1, round(1 + 8 * (decode_s - few) / max(many - few, 0.01)))

    def round(self, settings: dict[str, Any], encoder: Encoder) -> Round:
        """Measure everything once."""
        decode_s, forward_s = self.decode_alone(), self.forward_alone(encoder)
        job_s, stalls = self.run_job(settings)
        return Round(decode_s, forward_s, job_s, self.run_without_overlap(settings), stalls)


def figures(n_videos: int, n_rounds: int, decoder: str) -> Iterator[Figure]:
    """Yield the job over the slower half, of the best balanced round.

    Raises
    ------
    SystemExit
        no round was balanced
    """
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), n_videos, decoder)
        settings = bench.settings(bench.balanced_layers())
        encoder = load_encoder(settings)
        rounds = []
        print(f"{len(bench.frames)} frames of {n_videos} videos, decoder {decoder}; seconds")
        print("decode  forward  forward/decode   job  job/slower  without overlap  without/slower")
        for _ in range(n_rounds):
            one = bench.round(settings, encoder)
            rounds.append(one)
            print(
                f"{one.decode_s:6.2f}  {one.forward_s:7.2f}  {one.forward_s / one.decode_s:14.2f}  {one.job_s:4.2f}  "
                f"{one.job_s / one.slower_s:10.2f}  {one.serial_s:15.2f}  {one.serial_s / one.slower_s:14.2f}",
                flush=True,
            )
    valid = [one for one in rounds if BALANCE[0] <= one.forward_s / one.decode_s <= BALANCE[1]]
    if not valid:
        sys.exit("no round was balanced: the machine is busy with something else")
    ratios = [one.job_s / one.slower_s for one in valid]
    best = valid[int(np.argmin(ratios))]
    print(f"job / slower half: {statistics.median(ratios):.2f} in the middle")
    print(f"where the time of the best went: {best.stalls.summary()}")
    what = f"extraction of {n_videos} videos over the slower of decoding and network, one thread each"
    yield Figure(what, min(ratios), "x", asked=MAX_RATIO, is_compared=False)
    gap = max(abs(one.stalls.total_s() / one.job_s - 1) for one in valid)
    what = "extraction: what its parts lack of the whole"
    yield Figure(what, 100 * gap, "%", asked=MAX_GAP_PERCENT, is_compared=False)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=24, help="number of videos (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--decoder", choices=DECODERS, default="auto", help="who decodes (default: %(default)s)")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    return tell(figures(args.videos, args.rounds, args.decoder), args.json)


if __name__ == "__main__":
    sys.exit(main())
