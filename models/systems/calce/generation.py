"""Answers of the language model: greedy or beam search with a key-value cache, many queries at a time."""

from collections.abc import Sequence

from torch import Tensor
from transformers import GenerationConfig, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from models.systems.calce.attention import encode
from models.systems.calce.config import DecodingConfig
from models.systems.calce.language_model import END, PAD


def search(options: DecodingConfig, use_cache: bool = True) -> GenerationConfig:
    """Return the settings of the search; without the key-value cache it writes the same, slowly.

    Notes
    -----
    Those of the published code, which names others in its configuration files and does not pass them on: at least one
    token, no sampling, no penalties. Its key-value cache goes unused with newer libraries; here it is used.
    """
    return GenerationConfig(
        num_beams=options.beams,
        max_new_tokens=options.max_tokens,
        min_length=1,
        do_sample=False,
        use_cache=use_cache,
        decoder_start_token_id=PAD,
        pad_token_id=PAD,
        eos_token_id=END,
    )


def generate(
    t5: T5ForConditionalGeneration, embedded: Tensor, mask: Tensor, options: DecodingConfig, use_cache: bool = True
) -> Tensor:
    """Return the ids of one answer per query, int64 (B, <= max_tokens + 1), padded with PAD; the first is the start.

    Parameters
    ----------
    embedded, mask : inputs_embeds (B, L, width) and attention_mask (B, L) of the encoder
    """
    encoded = BaseModelOutput(last_hidden_state=encode(t5, embedded, mask))
    return t5.generate(encoder_outputs=encoded, attention_mask=mask, generation_config=search(options, use_cache))


def packs(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return the places of queries in groups of like length, longest first.

    Parameters
    ----------
    lengths : vectors of each query's input
    budget : largest number of vectors of a group, padding included; a longer query stands alone
    """
    found: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if found and lengths[found[-1][0]] * (len(found[-1]) + 1) <= budget:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def trimmed(ids: Tensor) -> list[list[int]]:
    """Return the ids of every answer without start, end and padding."""
    answers = []
    for row in ids.tolist():
        row = row[1:]
        answers.append([token for token in row[: row.index(END) if END in row else len(row)] if token != PAD])
    return answers
