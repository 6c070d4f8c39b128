"""Times a training step of MRNet beside a plain loop over its formulas: python -m tests.benchmarks.mrnet_training.

The plain one takes the videos one by one, writes the proposals into a map, convolves all of it with torch, and computes
losses and the optimiser step term by term. Both begin with the same weights, and their losses are compared.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.systems.interface import Annotated, FeatureRows, Item
from models.systems.mrnet.candidates import offsets
from models.systems.mrnet.config import Config, LossConfig
from models.systems.mrnet.network import MrnetNetwork
from models.systems.mrnet.system import System
from tests.benchmarks.figures import Figure, benchmark_parser, tell

FORMS = {
    "activitynet": {},
    "tacos": {
        "network": {
            "pre_clips": 512,
            "clips": 128,
            "pooling_counts": [15, 8, 8, 8],
            "conv_kernel": 5,
            "conv_layers": 3,
            "retention": {"qkv": "shared", "layers": 1, "gamma": 0.999},
        },
    },
    "charades": {
        "network": {
            "pre_clips": 128,
            "pool_kernel": 2,
            "conv_kernel": 17,
            "conv_layers": 2,
            "retention": {"qkv": "shared", "layers": 4, "attend": "video", "normalise": "linear"},
        },
        "loss": {"positives": 3, "margin": 0.4},
    },
}


MIN_RATIO = 2


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--form", choices=FORMS, default="activitynet", help="settings of a dataset")
    parser.add_argument("--batch-size", type=int, default=1, help="videos")
    parser.add_argument("--queries", type=int, default=4, help="per video")
    parser.add_argument("--rounds", type=int, default=3, help="steps; the fastest counts")
    parser.add_argument("--conv-dim", type=int, default=512, help="channels of the map; fewer are faster")
    args = parser.parse_args()
    torch.set_num_threads(1)
    return tell(measured(args), args.json)


def measured(args: argparse.Namespace) -> Iterator[Figure]:
    """Yield what a step takes; of both kinds, the fastest of some counts."""
    # Without dropout the two draw nothing and their losses can be compared.
    given = {**FORMS[args.form]}
    given["network"] = {"conv_dim": args.conv_dim, "input_dropout": 0.0, **given.get("network", {})}
    given["network"]["retention"] = {"dropout": 0.0, **given["network"].get("retention", {})}
    system = System(Config.model_validate(given), {}, {"visual": [500], "text": [768]})
    videos = [made_video(number, args.queries) for number in range(args.batch_size)]
    torch.manual_seed(0)
    ours = system.network()
    plain = System(
        system.config.model_copy(update={"network": system.config.network.model_copy(update={"conv_path": "dense"})}),
        {},
        {"visual": [500], "text": [768]},
    ).network()
    plain.load_state_dict(ours.state_dict())
    step, plain_step = our_step(system, ours, videos), plain_loop(system, plain, videos)
    seconds, plain_seconds = [], []
    for k in range(args.rounds):
        loss, taken = timed(step)
        plain_loss, plain_taken = timed(plain_step)
        seconds.append(taken)
        plain_seconds.append(plain_taken)
        print(
            f"step {k}: loss {loss:.5f}, plain {plain_loss:.5f}; {taken:.2f} s, plain {plain_taken:.2f} s", flush=True
        )
    what = f"MRNet ({args.form} sizes), training step, videos: {args.batch_size}, one CPU thread"
    yield Figure(f"{what}: processor time", min(seconds), "s")
    yield Figure(f"{what}: a plain loop over it", min(plain_seconds) / min(seconds), "x", "larger", MIN_RATIO)


def made_video(number: int, n_queries: int) -> list[Item]:
    """Return the queries of a made-up video."""
    rng = np.random.default_rng(number)
    visual = FeatureRows(rng.standard_normal((700, 500)).astype(np.float32), np.zeros((700, 2), np.float32))
    items = []
    for query in range(n_queries):
        text = FeatureRows(rng.standard_normal((1, 768)).astype(np.float32), np.zeros((1, 2), np.float32))
        moment = np.sort(rng.uniform(0, 120, (1, 2)))
        items.append(
            Item(f"{number}.{query}", str(number), "", 120.0, {"visual": [visual], "text": [text]}, Annotated(moment))
        )
    return items


def timed(step: Callable[[], float]) -> tuple[float, float]:
    """Return the loss of a step and its seconds of the processor."""
    started = time.process_time()
    loss = step()
    return loss, time.process_time() - started


def our_step(system: System, network: MrnetNetwork, videos: list[list[Item]]) -> Callable[[], float]:
    """Return a step as the training loop makes it: samples, batch, loss, gradient, clipping, optimiser."""
    optimiser = system.optimiser(system.parameter_groups(network))

    def step() -> float:
        batch = system.collate([system.sample(items, random.Random(0)) for items in videos])
        loss = system.loss(network.train(), batch, 0)["total"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), system.config.train.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
        return loss.item()

    return step


def plain_loop(system: System, network: MrnetNetwork, videos: list[list[Item]]) -> Callable[[], float]:
    """Return the same step, written out."""
    train = system.config.train
    optimiser = torch.optim.AdamW(
        network.parameters(),
        train.learning_rate,
        train.betas,
        train.eps,
        train.weight_decay,
        foreach=False,
        fused=False,
    )

    def step() -> float:
        samples = [system.sample(items, random.Random(0)) for items in videos]
        loss = plain_loss(network.train(), samples, system)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), train.clip_norm, foreach=False)
        optimiser.step()
        optimiser.zero_grad()
        return loss.item()

    return step


def plain_loss(network: MrnetNetwork, samples: list[dict], system: System) -> Tensor:
    """Return the total loss, by maps and loops."""
    config, n = system.config.loss, system.config.network.clips
    first, last = torch.from_numpy(system.cells).unbind(dim=1)
    maps, texts, density = [], [], torch.zeros(())
    for sample in samples:
        rows, queries = torch.from_numpy(sample["rows"])[None], torch.from_numpy(sample["queries"])[None]
        text, video, own = network.trans_ret(
            network.text_encoder(queries), network.clips(rows), torch.tensor([queries.shape[1]])
        )
        density = density + own
        filled = torch.zeros(1, video.shape[-1], n, n)
        pooled = video.transpose(1, 2)
        filled[:, :, range(n), range(n)] = pooled
        for offset, stride, is_coarser in offsets(system.config.network.pooling_counts):
            pooled = F.max_pool1d(pooled, 3, 2) if is_coarser else F.max_pool1d(pooled, 2, 1)
            starts = torch.arange(0, n - offset, stride)
            filled[:, :, starts, starts + offset] = pooled
        maps.append(filled)
        texts.append(text[0])
    conv = network.proposal_conv
    x = torch.cat(maps)
    for c, (layer, norm) in enumerate(zip(conv.convs, conv.bn, strict=True)):
        x = F.relu(norm(layer(x))) * getattr(conv, f"weight_{c}")
    contrastive, iou = F.normalize(conv.conv1x1_contrastive(x), dim=1), F.normalize(conv.conv1x1_iou(x), dim=1)
    overlap, n_scores = torch.zeros(()), 0
    for b, (sample, text) in enumerate(zip(samples, texts, strict=True)):
        scores = torch.einsum("sd,dij->sij", F.normalize(network.text_out(text), dim=1), iou[b])
        target = ((torch.from_numpy(sample["iou"]) - config.min_iou) / (config.max_iou - config.min_iou)).clamp(0, 1)
        overlap = overlap + F.binary_cross_entropy((10 * scores).sigmoid()[:, first, last], target, reduction="sum")
        n_scores += target.numel()
    video_loss, sentence_loss = plain_contrasts(contrastive[:, :, first, last], texts, samples, config)
    sparse = config.sparse_weight * density
    floor = config.sparse_floor * system.config.train.batch_size * config.sparse_weight
    twice = sparse if sparse >= floor else 0
    return overlap / n_scores + config.contrastive_weight * (video_loss + sentence_loss) + sparse + twice


def plain_contrasts(
    candidates: Tensor, texts: list[Tensor], samples: list[dict], config: LossConfig
) -> tuple[Tensor, Tensor]:
    """Return both contrasts, query by query."""
    queries = [F.normalize(text, dim=1) for text in texts]
    places = [(b, k) for b, own in enumerate(queries) for k in range(len(own))]
    video, sentence = [], []
    for b, k in places:
        iou, query = torch.from_numpy(samples[b]["iou"][k]), queries[b][k]
        for p in iou.topk(config.positives).indices:
            positive = candidates[b, :, p] @ query - config.margin
            others = torch.zeros(())
            for c, m in places:
                if (c, m) == (b, k):
                    others = others + (positive / config.tau_video).exp()
                elif c != b or samples_overlap(samples[b], k, m) < config.negative_iou:
                    others = others + (candidates[b, :, p] @ queries[c][m] / config.tau_video).exp()
            video.append(others.log() - positive / config.tau_video)
            total = (positive / config.tau_sentence).exp() + 1e-6
            for c in range(len(samples)):
                cosine = query @ candidates[c]
                if c == b:
                    cosine = torch.where(iou < config.negative_iou, cosine, 0.0)
                total = total + (cosine / config.tau_sentence).exp().sum()
            sentence.append(total.log() - positive / config.tau_sentence)
    return torch.stack(video).mean(), torch.stack(sentence).mean()


def samples_overlap(sample: dict, k: int, m: int) -> float:
    """Return the overlap of two moments of a video over their hull."""
    (a, b), (c, d) = sample["moments"][k], sample["moments"][m]
    return float(max(0, min(b, d) - max(a, c)) / (max(b, d) - min(a, c)))


if __name__ == "__main__":
    sys.exit(main())
