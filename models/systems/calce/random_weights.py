"""Start values of a small CALCE that learns from nothing, in place of the published weights.

A published language model knows that 12 lies between 11 and 13, how to carry over what it reads, and which word a
picture shows. Plain random numbers know nothing of it, and a small network with them stays at the answers that are
right most often for thousands of steps. These are random too, but shaped so that it gets away from there in minutes:

- pieces that write the same number have nearly the same vector, which changes smoothly with the number, in directions
  that no word and no frame has;
- words and visual vectors differ by one more direction, so that attention can tell them apart;
- what attention reads comes out as it went in (value and output maps are each other's inverse);
- half of the encoder's heads look at neighbours, so that a frame gets to know its second; from the second layer on the
  others look at what is alike in the other kind: a word at the frames that show it, a frame at the words for it;
- the decoder looks at words rather than frames, and from its second layer on at what is like its own state.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from transformers.models.t5.modeling_t5 import T5Attention

from models.systems.calce.config import NetworkConfig
from models.systems.calce.tokens import t5

NUMBER = re.compile("▁?([0-9]{1,3}),?")
"""A piece that writes a number, at the start of a word or not, with or without a comma."""
N_NUMBERS = 200
NUMBER_SHARE = 0.95
"""Correlation of a number's piece with the number's vector."""
NUMBER_WIDTH = 0.25
"""Share of a vector's directions that are those of numbers; words and frames have the others."""
STEPS = (1.5, 0.05)
"""Radians from one number to the next, of the fastest and of the slowest wave."""
WORD_OFFSET, VISUAL_OFFSET = 0.5, -1.0
"""How far words and visual vectors lie along the direction that tells them apart, in units of a vector's norm."""
HEAD_GAIN = 0.5
"""Size of `lm_head` relative to embeddings that are divided by the root of their width."""
LIKENESS = 10.0
"""Score of attention between two equal vectors."""
KIND_SCORE = 0.3
"""Score by which the decoder prefers words."""
SELF_SCORE = -10.0
"""What keeps a position of the encoder from looking at itself."""
DECAY = 0.5
"""The first neighbour head loses 1 per position of distance, every other one this much of the one before it."""

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Directions:
    """An orthonormal basis: of what numbers differ in (n, width), of what words differ in, and what all words share."""

    of_numbers: np.ndarray
    of_words: np.ndarray
    shared: np.ndarray


def shaped_for_learning(
    draw: Callable[[str], np.ndarray], config: NetworkConfig, seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield those weights that are named above, by their names in `CalceNetwork`, a few at a time.

    `draw` returns the plain random weights, float32, of such a name.
    """
    rng = np.random.default_rng(seed)
    width, n_heads = config.t5.width, config.t5.heads
    basis, n_numbers = _orthonormal(width, width, rng), 2 * max(1, round(NUMBER_WIDTH * width / 2))
    directions = Directions(basis[:n_numbers], basis[n_numbers:-1], basis[-1])
    yield from _words(draw, config, directions, rng)
    for layer in range(config.t5.layers):
        encoder = f"t5_model.encoder.block.{layer}.layer.0.SelfAttention"
        decoder = f"t5_model.decoder.block.{layer}.layer.1.EncDecAttention"
        alike, everywhere = range(n_heads // 2, n_heads), range(n_heads)
        yield from _inverse_maps(encoder, config, rng)
        yield from _inverse_maps(decoder, config, rng)
        if layer:
            maps = _looking_maps(draw, encoder)
            _look_at_what_is_alike(maps, encoder, alike, config, directions, rng)
            _look_at_kind(maps, encoder, alike, config, -LIKENESS / config.t5.head_width, directions)
            yield from maps.items()
        maps = _looking_maps(draw, decoder)
        if layer:
            _look_at_what_is_alike(maps, decoder, everywhere, config, directions, rng)
        _look_at_kind(maps, decoder, everywhere, config, KIND_SCORE, directions)
        yield from maps.items()
    name = "t5_model.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    yield name, _looking_around(len(draw(name)), n_heads)


def _words(
    draw: Callable[[str], np.ndarray], config: NetworkConfig, directions: Directions, rng: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield embeddings of variance 1, `lm_head`, and where visual vectors lie."""
    width, tokenizer = len(directions.shared), t5()
    embeddings = rng.standard_normal((config.t5.vocabulary, len(directions.of_words))) @ directions.of_words
    embeddings *= (width / len(directions.of_words)) ** 0.5
    numbers = _numbers(len(directions.of_numbers)) @ directions.of_numbers * width**0.5
    for piece in range(min(len(embeddings), tokenizer.n_pieces)):
        match = NUMBER.fullmatch(tokenizer.piece(piece))
        if match and int(match[1]) < N_NUMBERS:
            own = (1 - NUMBER_SHARE**2) ** 0.5 * embeddings[piece]
            embeddings[piece] = NUMBER_SHARE * numbers[int(match[1])] + own
    # Flan-T5's head is its own, but starting as the embeddings it repeats what the decoder reads.
    yield "t5_model.lm_head.base_layer.weight", HEAD_GAIN * width**-0.5 * embeddings
    yield "t5_model.shared.weight", embeddings + WORD_OFFSET * width**0.5 * directions.shared
    yield "t5_proj.weight", directions.of_words.T @ directions.of_words @ draw("t5_proj.weight")
    yield "t5_proj.bias", VISUAL_OFFSET * width**0.5 * directions.shared


def _numbers(width: int) -> np.ndarray:
    """Return vectors (N_NUMBERS, width) of norm 1 that change smoothly: sines and cosines of the number."""
    phases = np.arange(N_NUMBERS)[:, None] * np.geomspace(*STEPS, width // 2)
    return np.concatenate([np.sin(phases), np.cos(phases)], axis=1) / (width / 2) ** 0.5


def _orthonormal(n_rows: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n_rows, width); each run of `width` rows is orthonormal."""
    sizes = [min(width, n_rows - start) for start in range(0, n_rows, width)]
    return np.concatenate([np.linalg.qr(rng.standard_normal((width, size)))[0].T for size in sizes])


def _inverse_maps(attention: str, config: NetworkConfig, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    value = _orthonormal(config.t5.heads * config.t5.head_width, config.t5.width, rng)
    yield _name(attention, "v"), value
    yield _name(attention, "o"), value.T


def _looking_maps(draw: Callable[[str], np.ndarray], attention: str) -> State:
    return {name: draw(name) for name in (_name(attention, part) for part in "qk")}


def _look_at_what_is_alike(
    state: State, attention: str, heads: range, config: NetworkConfig, directions: Directions, rng: np.random.Generator
) -> None:
    """Give heads equal query and key maps, which see what words differ in."""
    width, seen = config.t5.head_width, directions.of_words
    for head in heads:
        both = (LIKENESS / width) ** 0.5 * _orthonormal(width, len(seen), rng) @ seen
        for part in "qk":
            state[_name(attention, part)][head * width : (head + 1) * width] = both


def _look_at_kind(
    state: State, attention: str, heads: range, config: NetworkConfig, score: float, directions: Directions
) -> None:
    """Let the first row of heads' maps, and no other, see what all words share; equal signs attract if score > 0."""
    width, shared = config.t5.head_width, directions.shared
    for head in heads:
        for part, sign in (("q", 1.0), ("k", np.sign(score))):
            rows = state[_name(attention, part)][head * width : (head + 1) * width]
            rows -= np.outer(rows @ shared, shared)
            rows[0] = sign * abs(score) ** 0.5 * shared


def _looking_around(n_buckets: int, n_heads: int) -> np.ndarray:
    """Return scores (buckets, heads): the first half of the heads look at neighbours, none at itself."""
    distances = torch.arange(-128, 129)
    buckets = T5Attention._relative_position_bucket(distances, True, n_buckets, 128)
    nearest = np.array(
        [min(distances[buckets == b].abs().tolist(), default=128) for b in range(n_buckets)], dtype=float
    )
    heads = np.arange(n_heads)
    slopes = np.where(heads < n_heads // 2, DECAY**heads, 0.0)
    return np.where(nearest[:, None] == 0, SELF_SCORE, -nearest[:, None] * slopes)


def _name(attention: str, part: str) -> str:
    return f"{attention}.{part}.base_layer.weight"
