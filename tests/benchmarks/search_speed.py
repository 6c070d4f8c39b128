"""Time of a query over 10 hours of rows, one per second, in one process: `python -m tests.benchmarks.search_speed`."""

import argparse
import time

import numpy as np

from models.systems.interface import FeatureRows
from models.systems.zero_shot.config import Config
from models.systems.zero_shot.corpus import Corpus

HOURS, DIM, QUERIES = 10, 512, 15


def made_video(n_rows: int, rng: np.random.Generator) -> FeatureRows:
    """Return random rows, which have more short moments than real ones."""
    seconds = np.arange(n_rows, dtype=np.float32)
    return FeatureRows(rng.normal(size=(n_rows, DIM)).astype(np.float32), np.stack([seconds, seconds + 1], axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[1, 10, 120, 1200], help="numbers of equal videos")
    for n_videos in parser.parse_args().videos:
        rng = np.random.default_rng(0)
        rows = {str(number): made_video(HOURS * 3600 // n_videos, rng) for number in range(n_videos)}
        corpus, wall, processor = Corpus(rows, Config()), [], []
        for _ in range(QUERIES):
            text, started = rng.normal(size=DIM), (time.perf_counter(), time.process_time())
            corpus.moments(text, keep=5, least=-1.0)
            wall.append(time.perf_counter() - started[0])
            processor.append(time.process_time() - started[1])
        times = ", ".join(f"{1000 * np.median(each):.0f} ms" for each in (processor, wall))
        print(f"{n_videos} videos: {times} (medians of processor and wall time)")


if __name__ == "__main__":
    main()
