"""A small QUAG or HiREST baseline with random weights, and made-up videos for it."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from models.systems.quag import samples
from models.systems.quag.config import Config
from models.systems.quag.network import MomentNetwork
from models.systems.quag.samples import Video, read_video
from models.systems.quag.words import CaptionWords
from tests.unit.plain_quag import PlainNetwork
from workflow_scripts.lib.configuration.layers import merge

VISUAL, QUERY, SPEECH = 10, 9, 6
DIMS = (VISUAL, QUERY, SPEECH)
WORDS = CaptionWords(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cut", "the", "rib", "##bon", "##s", "egg", "pan", "in", "#", "."]
)
SETTINGS: dict[str, Any] = {
    "network": {
        "width": 24,
        "fusion_width": 16,
        "heads": 4,
        "ffn_dim": 32,
        "vocabulary": len(WORDS.vocabulary),
        "word_positions": 20,
        "start": "random",
    },
    "data": {"step_rows": 5, "max_words": 8},
}
CLEAN = {
    "network": {"mask_padding": True, "exact_mask_offset": False},
    "loss": {"same_video_negatives": False, "ignore_pad": True},
    "data": {"speech_axis": "seconds", "long_step": "resample"},
    "decoding": {
        "enforce_order": True,
        "first_row": "accept",
        "last_boundary": "end",
        "reach": "video",
        "freeze_finished": True,
    },
}
FORMS = ("quag", "hirest")


def made_config(form: str = "quag", **changes: Any) -> Config:
    """Return the settings of a form with changes by section."""
    return Config.model_validate(merge(merge(SETTINGS, {"network": {"form": form}}), changes))


def made_network(config: Config, seed: int = 0, spread: float = 3.0) -> MomentNetwork:
    """Return a network in evaluation mode whose start values are spread out, so that everything matters."""
    torch.manual_seed(seed)
    network = MomentNetwork(config.network, *DIMS).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "clip4cap_model" in name and parameter.ndim > 1:
                parameter.mul_(5.0)
            elif parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        network.segment_predictor[0].weight.mul_(spread)
    return network


def made_plain(network: MomentNetwork) -> PlainNetwork:
    """Return the plain form with the same weights."""
    plain = PlainNetwork(network.config, *DIMS).eval()
    plain.load_state_dict(network.state_dict())
    return plain


def made_video(number: int, length: int, config: Config | None = None) -> Video:
    """Return a video of so many seconds; every second line of its transcript is silence."""
    rng = np.random.default_rng(number)
    spans = [(2.0 * line, 2.0 * line + 1.7) for line in range(0, length // 2, 2)]
    rows = rng.standard_normal((length, VISUAL)).astype(np.float32)
    speech = rng.standard_normal((len(spans), SPEECH)).astype(np.float32)
    return read_video(f"v{number}", float(length), rows, (speech, spans), (config or made_config()).data)


def made_sample(task: str, video: Video, number: int, config: Config, is_asked: bool = False) -> dict[str, Any]:
    """Return a sample with targets; `is_asked`: of steps, a moment that is to be cut."""
    length = len(video.grid)
    edges = np.linspace(0.1 * length, 0.9 * length, 4).tolist()
    moment, steps = (edges[0], edges[-1]), list(pairwise(edges))
    if task == "moments":
        sample = samples.moment_sample(video, moment)
    elif task == "captions":
        text = ("Cut the ribbons", "egg in the pan .", "cut")[number % 3]
        sample = samples.caption_sample(video, steps[number % 3], text, WORDS, config.data)
    elif is_asked:
        sample = samples.steps_question(video, moment)
    else:
        sample = samples.step_sample(video, moment, steps, number % 3)
    query = np.random.default_rng(number).standard_normal(QUERY).astype(np.float32)
    return sample | {"query": query, "video_id": f"v{number}"}


def made_batch(
    task: str, config: Config, lengths: tuple[int, ...] = (23, 14, 31), is_asked: bool = False, first: int = 0
) -> dict[str, Any]:
    """Return a batch of videos of these lengths."""
    made = [
        made_sample(task, made_video(number, length, config), number, config, is_asked)
        for number, length in enumerate(lengths, first)
    ]
    return samples.collate(task, made, None if config.loss.ignore_pad else config.data.max_words)


def part_of(batch: dict[str, Any], number: int, length: int | None = None) -> dict[str, Any]:
    """Return one sample of a batch by itself, without padding where its length is given."""
    one = {name: part if isinstance(part, str) else part[number : number + 1] for name, part in batch.items()}
    if length is not None:
        for name in ("visual", "speech", "valid_mask", "moment_mask", "boundary_mask"):
            if name in one:
                one[name] = one[name][:, :length]
    return one
