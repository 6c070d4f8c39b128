"""Times a training step of IMG against a plain loop over its formulas: python -m tests.benchmarks.img_training.

One thread, batches of 16, sizes of Charades-STA with I3D, PANNs and word tokens. The plain step has the same parameters
and, without dropout, the same loss: torch's own dropout, convolutions over the channels-first layout, one packed GRU
after the other, resampling and span targets by loops over rows and cells.
"""

import contextlib
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout
from models.systems.img import blocks, fusion, system
from models.systems.img.config import Config
from models.systems.img.recurrence import run_packed
from models.systems.img.system import System
from models.systems.img.targets import span_to_steps
from models.systems.interface import Annotated, FeatureRows, Item
from tests.benchmarks.figures import Figure, benchmark_parser, tell

DIMS = {"visual": [1024], "audio": [2048], "text": [512]}
BATCH_SIZE = 16
MIN_STEP_RATIO, MIN_TARGETS_RATIO, MAX_LOADING_PERCENT = 1.5, 20, 5


def plain_rescale(rows: np.ndarray, n_steps: int, edge_dtype: type = np.float64) -> np.ndarray:
    """Return the mean of the rows between two edges, or the row at an edge, one after the other."""
    edges = [min(round(i / n_steps * len(rows)), len(rows) - 1) for i in range(n_steps + 1)]
    return np.stack([rows[a:b].mean(0) if a < b else rows[a] for a, b in pairwise(edges)]).astype(np.float32)


def plain_limit(rows: np.ndarray, max_steps: int) -> np.ndarray:
    """Return at most `max_steps` rows."""
    return rows if len(rows) <= max_steps else plain_rescale(rows, max_steps)


def plain_targets(start_s: float, end_s: float, n_steps: int, duration_s: float) -> tuple[int, int]:
    """Return the first cell with the largest overlap, looking at every cell in turn."""
    best, best_iou = (0, 0), -1.0
    for first in range(n_steps):
        left = float(np.float32(first) / np.float32(n_steps) * np.float32(duration_s))
        for last in range(n_steps):
            right = float(np.float32(last + 1) / np.float32(n_steps) * np.float32(duration_s))
            hull = max(right, end_s) - min(left, start_s)
            iou = max(0.0, min(right, end_s) - max(left, start_s)) / max(1e-12, hull)
            if iou > best_iou:
                best, best_iou = (first, last), iou
    return best


def plain_depthwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve (B, N, D) over N, channels first, as torch's own Conv1d does it."""
    padding = weight.shape[2] // 2
    return F.conv1d(x.transpose(1, 2), weight, bias, padding=padding, groups=weight.shape[0]).transpose(1, 2)


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Put the plain formulas in place of the fast ones."""
    with contextlib.ExitStack() as stack:
        for module, name, plain in (
            (blocks, "depthwise_conv", plain_depthwise),
            (fusion, "depthwise_conv", plain_depthwise),
            (fusion, "run_side_by_side", run_packed),
            (system, "rescale_rows", plain_rescale),
            (system, "limit_rows", plain_limit),
            (system, "span_to_steps", plain_targets),
            (Dropout, "forward", lambda self, x: F.dropout(x, self.p, self.training)),
        ):
            stack.enter_context(mock.patch.object(module, name, plain))
        yield


def made_items(n_items: int, seconds: tuple[float, float]) -> list[Item]:
    """Return queries on videos of such lengths: two visual rows and six of sound per second."""
    rng = np.random.default_rng(0)

    def rows(n: int, stream: str) -> FeatureRows:
        return FeatureRows(rng.standard_normal((n, DIMS[stream][0]), np.float32), np.zeros((n, 2), np.float32))

    items = []
    for number in range(n_items):
        duration = float(rng.uniform(*seconds))
        moment = np.sort(rng.uniform(0, duration, (1, 2)), axis=1)
        streams = {"visual": [rows(2 * int(duration), "visual")], "audio": [rows(6 * int(duration), "audio")]}
        streams["text"] = [rows(int(rng.integers(5, 13)), "text")]
        items.append(Item(f"q{number}", f"v{number}", "", duration, streams, Annotated(moment)))
    return items


class Trainer:
    """Training of one network, batch by batch."""

    def __init__(self, dropout: float = 0.2) -> None:
        torch.manual_seed(0)
        network = {"dropout": dropout, "query": {"kind": "tokens"}}
        self.system = System(Config.model_validate({"network": network}), {}, DIMS)
        self.network = self.system.network()
        self.optimiser = self.system.optimiser(self.system.parameter_groups(self.network))

    def load(self, items: list[Item]) -> dict[str, Any]:
        """Return a batch."""
        rng = random.Random(0)
        return self.system.collate([self.system.sample(item, rng) for item in items])

    def step(self, batch: dict[str, Any]) -> float:
        """Take one optimiser step and return the loss."""
        loss = self.system.loss(self.network, batch, epoch=5)["total"]
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        return loss.item()


def timed(call: Callable[[], Any], rounds: int) -> list[float]:
    """Return the processor seconds of every call: others on the machine do not count."""
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return seconds


def time_targets(targets: Callable[..., Any], n_steps: int, rounds: int) -> float:
    """Return the seconds of one query's targets."""
    spans = np.sort(np.random.default_rng(1).uniform(0, 30, (5, 2)), axis=1).tolist()
    return statistics.median(timed(lambda: [targets(*span, n_steps, 30.0) for span in spans], rounds)) / len(spans)


def require_same_loss(items: list[Item]) -> None:
    """Refuse to compare two trainings that are not the same."""
    losses = []
    for way in (contextlib.nullcontext, plainly):
        with way():
            trainer = Trainer(dropout=0.0)
            torch.manual_seed(1)
            losses.append([trainer.step(trainer.load(items)) for _ in range(2)])
    if not np.allclose(*losses, rtol=1e-3):
        raise SystemExit(f"the plain training has another loss: {losses}")


def measured(rounds: int, lengths_s: tuple[float, float]) -> Iterator[Figure]:
    """Yield what `rounds` steps of either kind take, in turns; the median counts."""
    items = made_items(BATCH_SIZE, lengths_s)
    require_same_loss(items)
    times: dict[str, list[float]] = {"fast step": [], "fast load": [], "plain step": [], "plain load": []}
    trainer = Trainer()
    for _ in range(rounds):
        for kind, way in (("fast", contextlib.nullcontext), ("plain", plainly)):
            with way():
                times[f"{kind} load"] += timed(lambda: trainer.load(items), 1)
                batch = trainer.load(items)
                times[f"{kind} step"] += timed(lambda batch=batch: trainer.step(batch), 1)
    medians = {kind: statistics.median(seconds) for kind, seconds in times.items()}
    whole = {kind: medians[f"{kind} step"] + medians[f"{kind} load"] for kind in ("fast", "plain")}
    steps, loads = medians["fast step"], medians["fast load"]
    print(f"plain {whole['plain']:.3f} s; without loading {medians['plain step'] / steps:.2f} x; loading {loads:.4f} s")
    what = f"IMG, training step of {BATCH_SIZE} queries with loading, one CPU thread"
    yield Figure(f"{what}: processor time", whole["fast"], "s")
    yield Figure(f"{what}: a plain loop over it", whole["plain"] / whole["fast"], "x", "larger", MIN_STEP_RATIO)
    yield Figure(f"{what}: loading's share", 100 * loads / steps, "%", asked=MAX_LOADING_PERCENT)
    for n_steps in (60, 128):
        fast, plain = (time_targets(targets, n_steps, rounds) for targets in (span_to_steps, plain_targets))
        what = f"IMG, span targets at {n_steps} steps: a plain loop over ours"
        yield Figure(what, plain / fast, "x", "larger", MIN_TARGETS_RATIO)
    yield Figure("IMG, largest memory of the process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "GB")


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="steps of either kind, in turn; the median counts")
    parser.add_argument("--seconds", type=float, nargs=2, default=(20.0, 40.0), help="lengths of the videos")
    args = parser.parse_args()
    torch.set_num_threads(1)
    return tell(measured(args.rounds, tuple(args.seconds)), args.json)


if __name__ == "__main__":
    sys.exit(main())
