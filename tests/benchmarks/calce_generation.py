"""Times CALCE's inference and training: python -m tests.benchmarks.calce_generation [--full].

Queries per second with stored rows of the image tower and with the tower at work, one query at a time and together,
with and without the key-value cache. On a GPU with `--full` the network has its published size (4 B parameters, random
weights) and memory and training steps are measured too.
"""

import argparse
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from models.systems.calce.checkpoint import fill_network
from models.systems.calce.config import Config
from models.systems.calce.generation import generate
from models.systems.calce.network import CalceNetwork
from models.systems.calce.system import System
from models.systems.interface import Annotated, FeatureRows, Item, Told

TINY: dict[str, Any] = {
    "weights": "random(0)",
    "vision": {"image_size": 56, "width": 176, "layers": 6},
    "qformer": {"width": 64, "layers": 4, "heads": 4, "ffn_dim": 128, "queries": 8},
    "short_queries": 2,
    "t5": {"width": 64, "head_width": 16, "heads": 4, "ffn_dim": 128, "layers": 2},
    "precision": "fp32",
    "vision_precision": "fp32",
}
FULL: dict[str, Any] = {"weights": "random(0)"}
GB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; the fastest counts")
    parser.add_argument("--queries", type=int, default=8, help="queries of a batch")
    parser.add_argument("--max-tokens", type=int, default=30, help="length of the answers, which random weights reach")
    parser.add_argument("--full", action="store_true", help="published sizes, on a GPU")
    args = parser.parse_args()
    if not args.full:
        torch.set_num_threads(1)
        inference(TINY, "cpu", args)
    elif torch.cuda.is_available():
        inference(FULL, "cuda", args)
        training(args)
    else:
        print("--full: skipped, there is no GPU here")


def made_system(network: dict[str, Any], rows: str, args: argparse.Namespace, **train: Any) -> System:
    """Return stage 1 on QVHighlights, with the tower's tokens or the pixels as input."""
    settings = {
        "network": network | {"rows": rows},
        "decoding": {"beams": 5, "max_tokens": args.max_tokens, "batch_tokens": 100_000},
        "train": train,
    }
    config = Config.model_validate(settings)
    return System(config, {}, {"visual": [row_width(config)]})


def row_width(config: Config) -> int:
    """Return the width of a stored row."""
    vision = config.network.vision
    if config.network.rows == "frames":
        return 3 * vision.image_size**2
    return ((vision.image_size // vision.patch_size) ** 2 + 1) * vision.width


def made_items(system: System, n_items: int) -> list[Item]:
    """Return queries on videos of their own, of 75 frames in 150 s."""
    n_frames, rng = system.config.data.n_frames, np.random.default_rng(0)
    edges = np.linspace(0, 150, n_frames + 1, dtype=np.float32)
    times = np.stack([edges[:-1], edges[1:]], axis=1)
    speech = [(10.0 * i, 10.0 * i + 5, "she says that the red door is closed") for i in range(15)]
    items = []
    for i in range(n_items):
        values = rng.integers(0, 256, (n_frames, row_width(system.config))).astype(np.float32)
        told = Told(noun_phrases=("dog", "red door"), transcript=speech)
        rows = [FeatureRows(values if system.config.network.rows == "frames" else values / 128 - 1, times)]
        items.append(
            Item(f"q{i}", f"v{i}", "A dog runs", 150.0, {"visual": rows}, Annotated(np.array([[10, 24]])), told)
        )
    return items


def made_network(system: System, device: str) -> CalceNetwork:
    """Return the network with random weights; on a GPU drawn there, which is a matter of seconds."""
    network = CalceNetwork(system.config.network)
    if device == "cpu":
        return fill_network(network, None)
    network.choose_formats()
    if network.config.gradient_checkpointing:
        network.compute_again()
    network.to_empty(device=device)
    for parameter in network.parameters():
        parameter.data.normal_(std=0.02) if parameter.ndim > 1 else parameter.data.fill_(1 / 64)
    for buffer in network.buffers():
        buffer.zero_()
    return network


def inference(sizes: dict[str, Any], device: str, args: argparse.Namespace) -> None:
    """Print queries per second of every way to answer."""
    rates = {}
    for rows in ("tokens", "frames"):
        system = made_system(sizes, rows, args)
        network = made_network(system, device).to(device).eval()
        items = made_items(system, args.queries)
        for name, size in (("together", args.queries), ("one at a time", 1)):
            seconds = fastest(partial(answer, network, system, items, size, device), args.rounds)
            rates[rows, name] = args.queries / seconds
            print(f"{rows}, {name}: {rates[rows, name]:.2f} queries/s, {seconds / args.queries:.3f} s/query")
        if rows == "tokens":
            decoding(network, system, items, device, args)
        if device == "cuda":
            print(f"{rows}: peak memory {torch.cuda.max_memory_allocated() / GB:.1f} GB")
            torch.cuda.reset_peak_memory_stats()
        del network
    print(f"stored rows against the tower at work: {rates['tokens', 'together'] / rates['frames', 'together']:.2f}")
    print(f"together against one at a time: {rates['tokens', 'together'] / rates['tokens', 'one at a time']:.2f}")


def answer(network: CalceNetwork, system: System, items: list[Item], size: int, device: str) -> None:
    """Answer all queries, `size` at a time."""
    with torch.inference_mode():
        for start in range(0, len(items), size):
            batch = system.collate([system.sample(item, None) for item in items[start : start + size]])
            batch["rows"] = batch["rows"].to(device)
            system.predict(network, batch, None, "moments")


def decoding(network: CalceNetwork, system: System, items: list[Item], device: str, args: argparse.Namespace) -> None:
    """Print what the key-value cache does for the decoder alone."""
    batch = system.collate([system.sample(item, None) for item in items])
    seconds = {}
    with torch.inference_mode(), network.reduced():
        prompts = network.prompts(batch | {"rows": batch["rows"].to(device)}, system.select)
        embedded, mask = network.inputs(prompts)
        for use_cache in (True, False):
            run = partial(generate, network.t5_model, embedded, mask, system.config.decoding, use_cache)
            seconds[use_cache] = fastest(run, args.rounds)
    n_tokens = args.queries * args.max_tokens
    print(
        f"inputs of {mask.shape[1]} vectors; {n_tokens / seconds[True]:.0f} tokens/s with a key-value cache, ", end=""
    )
    print(f"{n_tokens / seconds[False]:.0f} without, ratio {seconds[False] / seconds[True]:.2f}")


def training(args: argparse.Namespace) -> None:
    """Print memory and speed of training steps at full size, with stored rows."""
    for batch_size, checkpointing in ((1, False), (1, True), (8, True)):
        system = made_system(FULL | {"gradient_checkpointing": checkpointing}, "tokens", args, batch_size=batch_size)
        network = made_network(system, "cuda").train()
        optimiser = system.optimiser(system.parameter_groups(network))
        samples = [system.sample(item, random.Random(0)) for item in made_items(system, batch_size)]
        batch = system.collate(samples)
        batch |= {"rows": batch["rows"].cuda(), "labels": batch["labels"].cuda()}
        torch.cuda.reset_peak_memory_stats()

        def step(network=network, system=system, batch=batch, optimiser=optimiser) -> None:
            system.loss(network, batch, 0)["total"].backward()
            optimiser.step()
            optimiser.zero_grad()

        seconds = fastest(step, args.rounds)
        memory = torch.cuda.max_memory_allocated() / GB
        name = f"batch {batch_size}{', checkpointing' if checkpointing else ''}"
        print(f"training, {name}: {1 / seconds:.2f} steps/s, {batch_size / seconds:.2f} queries/s, {memory:.1f} GB")
        del network, optimiser


def fastest(run: Callable[[], Any], rounds: int) -> float:
    """Return the seconds of the fastest of some runs, after one that does not count."""
    seconds = []
    for _ in tqdm(range(rounds + 1), leave=False, unit="round"):
        started = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


if __name__ == "__main__":
    main()
