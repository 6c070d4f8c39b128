"""Times QUAG beside a plain loop over its description: python -m tests.benchmarks.quag_speed [--form hirest].

Training steps of the three tasks, segmentation and captioning at the published width with random weights, on one
thread. Both sides have the same weights; without dropout their losses, and their answers, are compared. Seconds are
those of the processor, so that other work on the machine counts less.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from models.systems.quag import optimisation, predicting, samples
from models.systems.quag.config import Config
from models.systems.quag.losses import loss_terms
from models.systems.quag.network import MomentNetwork
from models.systems.quag.words import bert_words
from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.unit.plain_quag import PlainNetwork, plain_captions, plain_steps

DIMS = (1024, 1024, 384)
N_STEPS = 8
"""Steps of a moment; HiREST has 7.8 on average."""
LINE_S = 5.0
"""Length of a line of a transcript."""
EPOCH = {"moments": 173, "steps": 826, "captions": 829}
"""Batches of an epoch of HiREST's training split."""
MIN_SEGMENTATION, MIN_CAPTIONING, MIN_TRAINING = 5, 8, 1.5
"""A plain loop over ours."""


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--form", choices=("quag", "hirest"), default="quag")
    parser.add_argument(
        "--lengths",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[270, 200, 145, 105, 55],
        help="seconds of a batch's videos; HiREST's batches have 1.75 times as many rows as seconds",
    )
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; the fastest counts")
    parser.add_argument("--captions", type=int, default=20, help="steps described together")
    parser.add_argument("--sharpness", type=float, default=2.0, help="factor of the boundary head's random weights")
    args = parser.parse_args()
    torch.set_num_threads(1)
    return tell(measured(args), args.json)


def measured(args: argparse.Namespace) -> Iterator[Figure]:
    """Yield ratios of a plain loop over ours, task by task.

    Raises
    ------
    SystemExit
        the results differ
    """
    torch.manual_seed(0)
    config = Config.model_validate({"network": {"form": args.form}})
    network, plain = MomentNetwork(config.network, *DIMS), PlainNetwork(config.network, *DIMS)
    network.segment_predictor[0].weight.data.mul_(args.sharpness)
    plain.load_state_dict(network.state_dict())
    videos = [made_video(number, length, config) for number, length in enumerate(args.lengths)]
    n_rows = len(videos) * max(args.lengths)
    print(f"{args.form}: {len(videos)} videos of {args.lengths} s, {n_rows / sum(args.lengths):.2f} times padded")
    yield segmentation(network, plain, videos, config)
    yield from captioning(network, plain, videos, config, args.captions)
    yield from training(network, plain, videos, config, args.rounds)


def made_video(number: int, length: int, config: Config) -> samples.Video:
    """Return a video with random features and a transcript."""
    rng = np.random.default_rng(number)
    visual, lines = (rng.standard_normal((n, d)) for n, d in ((length, DIMS[0]), (length // 6, DIMS[2])))
    spans = [(6.0 * line, 6.0 * line + LINE_S) for line in range(length // 6)]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (visual, lines)]
    return samples.read_video(str(number), length, unit[0], (unit[1], spans), config.data)


def made_batch(task: str, videos: Sequence[samples.Video], config: Config, is_asked: bool = False) -> dict[str, Any]:
    """Return a batch with one item per video."""
    found = []
    for number, video in enumerate(videos):
        edges = np.linspace(0.15 * len(video.grid), 0.8 * len(video.grid), N_STEPS + 1).tolist()
        moment, steps = (edges[0], edges[-1]), list(pairwise(edges))
        if task == "moments":
            sample = samples.moment_sample(video, moment)
        elif task == "captions":
            text = "put the large egg in the pan"
            sample = samples.caption_sample(video, steps[number % N_STEPS], text, bert_words(), config.data)
        elif is_asked:
            sample = samples.steps_question(video, moment)
        else:
            sample = samples.step_sample(video, moment, steps, (2 * number) % N_STEPS)
        query = np.random.default_rng(number).standard_normal(DIMS[1]).astype(np.float32)
        found.append(sample | {"query": query, "video_id": str(number)})
    return samples.collate(task, found, config.data.max_words)


def segmentation(
    network: MomentNetwork, plain: PlainNetwork, videos: Sequence[samples.Video], config: Config
) -> Figure:
    """Time the cutting of moments into steps."""
    batch = made_batch("steps", videos, config, is_asked=True)
    ours, seconds = timed(lambda: predicting.find_steps(network.eval(), batch, config))
    theirs, plain_seconds = timed(lambda: plain_steps(plain.eval(), batch, config))
    counts = [len(boundaries) for boundaries in ours]
    print(f"{counts} boundaries")
    what = f"segmentation of {len(videos)} videos"
    return compared(what, seconds, plain_seconds, ours == theirs, MIN_SEGMENTATION)


def captioning(
    network: MomentNetwork, plain: PlainNetwork, videos: Sequence[samples.Video], config: Config, n_steps: int
) -> Iterator[Figure]:
    """Time the description of steps, in batches as published and all together; random weights never end a caption."""
    words, n_videos = bert_words(), len(videos)
    many = [videos[number % n_videos] for number in range(n_steps)]
    together = made_batch("captions", many, config)
    batches = [part_of(together, start, start + n_videos) for start in range(0, n_steps, n_videos)]
    settings = {"beams": config.decoding.beams, "max_words": config.data.max_words}
    theirs, plain_seconds = timed(
        lambda: [plain_captions(plain.eval(), b, **settings, start=words.start, end=words.end) for b in batches]
    )
    expected = [text for batch in theirs for text, _ in batch]
    for name, parts in ((f"{n_videos} at a time", batches), ("all together", [together])):
        ours, seconds = timed(
            lambda parts=parts: [predicting.describe_steps(network.eval(), part, config, words) for part in parts]
        )
        found = [caption.ids for part in ours for caption in part]
        yield compared(
            f"captions of {n_steps} steps, {name}", seconds, plain_seconds, found == expected, MIN_CAPTIONING
        )


def part_of(batch: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    """Return some samples of a batch."""
    return {name: part if isinstance(part, str) else part[start:end] for name, part in batch.items()}


def training(
    network: MomentNetwork, plain: PlainNetwork, videos: Sequence[samples.Video], config: Config, rounds: int
) -> Iterator[Figure]:
    """Time training steps: loss, gradient, clipping, optimiser."""
    train = config.train
    optimisers = {
        network: optimisation.optimiser(optimisation.parameter_groups(network, train), train),
        plain: torch.optim.AdamW(plain.parameters(), train.learning_rate, train.betas, train.eps, train.weight_decay),
    }
    total = {network: 0.0, plain: 0.0}
    for task, n_batches in EPOCH.items():
        batch = made_batch(task, videos, config)
        losses = {
            network: lambda batch=batch: loss_terms(network(batch), batch, config.loss)["total"],
            plain: lambda batch=batch: plain.loss(batch, config.loss.contrastive_weight),
        }
        plain.load_state_dict(network.state_dict())
        with torch.no_grad():
            both = [float(losses[net.eval()]()) for net in (network, plain)]
        seconds = {net: min(step_seconds(net, losses[net], optimisers[net], rounds)) for net in (network, plain)}
        is_same = abs(both[0] - both[1]) < 1e-4
        yield compared(f"training step, {task}", seconds[network], seconds[plain], is_same, MIN_TRAINING)
        total = {net: total[net] + n_batches * seconds[net] for net in total}
    hours = {net: value / 3600 for net, value in total.items()}
    print(f"an epoch of HiREST: {hours[network]:.2f} h, plain {hours[plain]:.2f} h")
    yield Figure("QUAG, an epoch of HiREST: a plain loop over ours", total[plain] / total[network], "x", "larger")


def step_seconds(
    network: torch.nn.Module, loss: Callable[[], torch.Tensor], optimiser: torch.optim.Optimizer, rounds: int
) -> list[float]:
    """Return the seconds of steps, without the first."""

    def step() -> None:
        loss().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad()

    network.train()
    return [timed(step)[1] for _ in range(rounds + 1)][1:]


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the processor's seconds for it."""
    started = time.process_time()
    result = run()
    return result, time.process_time() - started


def compared(name: str, seconds: float, plain_seconds: float, is_same: bool, asked: float) -> Figure:
    """Print the times of both and return their ratio; results that differ end the benchmark."""
    if not is_same:
        raise SystemExit(f"{name}: the results differ")
    print(f"{name}: {seconds:.2f} s, plain {plain_seconds:.2f} s")
    return Figure(f"QUAG, {name}: a plain loop over ours", plain_seconds / seconds, "x", "larger", asked)


if __name__ == "__main__":
    sys.exit(main())
