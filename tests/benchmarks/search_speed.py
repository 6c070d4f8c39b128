"""Time of a query over 10 hours of rows, one per second, in one process: `python -m tests.benchmarks.search_speed`."""

import sys
import time
from collections.abc import Iterator

import numpy as np

from models.systems.interface import FeatureRows
from models.systems.zero_shot.config import Config
from models.systems.zero_shot.corpus import Corpus
from tests.benchmarks.figures import Figure, benchmark_parser, tell

HOURS, DIM, QUERIES = 10, 512, 15
MAX_MS = 50


def made_video(n_rows: int, rng: np.random.Generator) -> FeatureRows:
    """Return random rows, which have more short moments than real ones."""
    seconds = np.arange(n_rows, dtype=np.float32)
    return FeatureRows(rng.normal(size=(n_rows, DIM)).astype(np.float32), np.stack([seconds, seconds + 1], axis=1))


def measured(numbers: list[int]) -> Iterator[Figure]:
    """Yield the median time of a query, of as many videos."""
    for n_videos in numbers:
        rng = np.random.default_rng(0)
        rows = {str(number): made_video(HOURS * 3600 // n_videos, rng) for number in range(n_videos)}
        corpus, seconds = Corpus(rows, Config()), []
        for _ in range(QUERIES):
            text, started = rng.normal(size=DIM), time.process_time()
            corpus.moments(text, keep=5, least=-1.0)
            seconds.append(time.process_time() - started)
        what = f"a query over {HOURS} h of rows of {DIM}, {n_videos:,} videos: processor time"
        yield Figure(what, 1000 * float(np.median(seconds)), "ms", asked=MAX_MS)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[1, 10, 120, 1200], help="numbers of equal videos")
    args = parser.parse_args()
    return tell(measured(args.videos), args.json)


if __name__ == "__main__":
    sys.exit(main())
