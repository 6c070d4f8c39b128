"""Times encoders beside the plainest correct implementation: `python -m tests.benchmarks.encoders [NAME ...]`.

Plain is the library as shipped, one video at a time; ours is what an extraction job calls, batches across videos. Both
run in turns in one process, with the same weights on the same inputs; the shortest of some runs counts, and the table
also says how far the rows are apart. To add an encoder, write a function that returns a `Bench` and put it into
`BENCHES`.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import open_clip
import torch

from models.encoders import clip, clip_text, eva_clip, vgg16
from models.encoders.networks.clip import build_clip
from models.encoders.networks.eva import ImageHalf, fill_half
from models.encoders.networks.pixels import PIXEL_MEAN, PIXEL_STD

N_VIDEOS = 4
QUERY = "the person closes the red door slowly and then sits down at the table"


class Bench(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    ours, plain : run everything once and return the rows (n, D), in the same order
    n_units, unit : what they encode, for the rate
    note : what makes the difference
    """

    ours: Callable[[], np.ndarray]
    plain: Callable[[], np.ndarray]
    n_units: int
    unit: str
    note: str


def random_frames(n: int, size: int = 224) -> np.ndarray:
    """Return uint8 (n, size, size, 3)."""
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)


def videos(inputs: Any) -> list[Any]:
    """Cut a batch into `N_VIDEOS` equal videos."""
    length = len(inputs) // N_VIDEOS
    return [inputs[i : i + length] for i in range(0, N_VIDEOS * length, length)]


def pixels_of(frames: np.ndarray) -> torch.Tensor:
    """Return what a library's own preprocessing makes of square frames of the right size."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    return (torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 - mean) / std


def beside(
    encode: Callable[[Any], Any], plain: Callable[[Any], torch.Tensor], inputs: Any, unit: str, note: str
) -> Bench:
    """Return the bench of an encoder that gets all inputs at once and a library that gets them video by video."""

    @torch.no_grad()
    def one_by_one() -> np.ndarray:
        return np.concatenate([np.asarray(plain(video)) for video in videos(inputs)])

    return Bench(lambda: np.concatenate(encode(inputs)).reshape(len(inputs), -1), one_by_one, len(inputs), unit, note)


def clip_image(name: str, n_frames: int) -> Bench:
    """A CLIP image tower beside open_clip."""
    plain = build_clip(name).eval()
    encoder = clip.load(clip.Config(architecture=name), plain.state_dict(), "cpu")
    frames = random_frames(n_frames * N_VIDEOS)
    note = "pieces that fit the cache; the last block for the class token only"
    return beside(encoder.encode, lambda video: plain.encode_image(pixels_of(video)), frames, "frames", note)


def clip_words(output: str) -> Bench:
    """CLIP's text tower beside open_clip, which fills up every sentence to 77 positions."""
    plain = build_clip("ViT-B-32-quickgelu").eval()
    encoder = clip_text.load(clip_text.Config(output=output), plain.state_dict(), "cpu")
    queries = [QUERY] * (4 * N_VIDEOS)
    note = "context as long as the longest sentence, not 77"
    return beside(encoder.encode, lambda video: plain.encode_text(open_clip.tokenize(video)), queries, "queries", note)


def eva_clip_g() -> Bench:
    """Two of the 40 blocks of EVA-CLIP g/14 at full width beside timm without fused attention."""
    config = eva_clip.Config(vision=eva_clip.VisionSizes(layers=2), normalise=False)
    half = ImageHalf(config.vision, config.embed_dim)
    fill_half(half, "text.", 0, 1.0)
    encoder, plain = eva_clip.load(config, half.state_dict(), "cpu"), half.visual.eval()
    for block in plain.blocks:
        block.attn.fused_attn = False
    note = "2 of 40 blocks; fused attention"
    return beside(encoder.encode, lambda video: plain(pixels_of(video)), random_frames(2 * N_VIDEOS), "frames", note)


def vgg() -> Bench:
    """VGG16 fc7 beside torchvision."""
    from torchvision.models import vgg16 as torchvision_vgg16

    plain = torchvision_vgg16(weights=None).eval()
    encoder = vgg16.load(vgg16.Config(), plain.state_dict(), "cpu")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (vgg16.IMAGENET_MEAN, vgg16.IMAGENET_STD))

    def fc7(video: np.ndarray) -> torch.Tensor:
        pixels = (torch.from_numpy(video).permute(0, 3, 1, 2).contiguous().float() / 255 - mean) / std
        return plain.classifier[:5](plain.avgpool(plain.features(pixels)).flatten(1))

    return beside(encoder.encode, fc7, random_frames(2 * N_VIDEOS), "frames", "channels last; no fc8")


BENCHES: dict[str, Callable[[], Bench]] = {
    "clip_b32": partial(clip_image, "ViT-B-32-quickgelu", 8),
    "clip_l14": partial(clip_image, "ViT-L-14-quickgelu", 1),
    "clip_b32_sentence": partial(clip_words, "pooled"),
    "eva_clip_g": eva_clip_g,
    "vgg16": vgg,
}


def shortest(functions: list[Callable[[], Any]], n_runs: int) -> tuple[list[float], list[np.ndarray]]:
    """Return the shortest time of every function in seconds, run in turns, and what it returned."""
    times = [float("inf")] * len(functions)
    rows = [function() for function in functions]
    for _ in range(n_runs):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[i] = min(times[i], time.perf_counter() - start)
    return times, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all if none is given: {', '.join(BENCHES)}")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument("--runs", type=int, default=3, help="runs of which the shortest counts (default: 3)")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(BENCHES))
    if unknown:
        parser.error(f"unknown encoder {unknown[0]!r}; known: {', '.join(BENCHES)}")
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, shortest of {args.runs}")
    print("encoder | ours | plain | ratio | largest difference in deviations | note")
    for name in args.names or BENCHES:
        bench = BENCHES[name]()
        (ours_s, plain_s), (ours, plain) = shortest([bench.ours, bench.plain], args.runs)
        gap = np.abs(ours - plain).max() / plain.std()
        rates = [f"{bench.n_units / seconds:.1f} {bench.unit}/s" for seconds in (ours_s, plain_s)]
        print(f"{name} | {rates[0]} | {rates[1]} | {plain_s / ours_s:.2f} x | {gap:.1e} | {bench.note}", flush=True)


if __name__ == "__main__":
    main()
