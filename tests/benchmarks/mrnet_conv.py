"""Times MRNet's proposal convolution by both paths, with the same weights: python -m tests.benchmarks.mrnet_conv."""

import argparse
import sys
import time
from collections.abc import Iterator

import torch

from models.systems.mrnet.config import Config
from models.systems.mrnet.proposals import ProposalConv
from tests.benchmarks.figures import Figure, benchmark_parser, tell


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="repetitions; the fastest counts")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--conv-dim", type=int, default=512, help="channels; fewer are faster")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    return tell(measured(args), args.json)


def measured(args: argparse.Namespace) -> Iterator[Figure]:
    """Yield how much faster the path of tiles is."""
    torch.manual_seed(0)
    convs = {}
    for path in ("dense", "tiled"):
        network = {"conv_path": path, "conv_dim": args.conv_dim, "dim": args.conv_dim // 2}
        convs[path] = ProposalConv(Config.model_validate({"network": network}).network).to(args.device)
    convs["tiled"].load_state_dict(convs["dense"].state_dict())
    given = torch.randn(args.batch_size, len(convs["dense"].first), args.conv_dim // 2, device=args.device)
    for training in (False, True):
        seconds = {path: min(timed(conv, given, training) for _ in range(args.rounds)) for path, conv in convs.items()}
        name = "training step" if training else "evaluation"
        print(f"{name}: dense {seconds['dense']:.3f} s, tiled {seconds['tiled']:.3f} s")
        what = f"MRNet, proposal convolution, {name}: dense over tiled"
        yield Figure(what, seconds["dense"] / seconds["tiled"], "x", "larger")


def timed(conv: ProposalConv, given: torch.Tensor, training: bool) -> float:
    """Return the seconds of a forward pass, in training with its backward pass."""
    conv.train(training)
    given = given.clone().requires_grad_(training)
    started = time.perf_counter()
    with torch.set_grad_enabled(training):
        found = sum(part.sum() for part in conv(given))
    if training:
        found.backward()
    found.item()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
