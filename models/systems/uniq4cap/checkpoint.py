"""Published weights: those of a whole captioner, and BERT's and BLIP-2's, which it starts from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.layers.checkpoints import match_state
from models.systems.uniq4cap.config import BERT, BLIP2, NetworkConfig
from models.systems.uniq4cap.network import Captioner

TOWERS = ("video_encoder.", "audio_encoder.")
"""Prefixes of the frozen towers, whose tokens are features here."""
POSITION_NUMBERS = "Qformer.bert.embeddings.position_ids"
WORDS, HEAD = "Qformer.bert.embeddings.word_embeddings.weight", "Qformer.cls.predictions."
TIED = {f"{HEAD}decoder.weight": WORDS, f"{HEAD}decoder.bias": f"{HEAD}bias"}
"""Tensors that are there twice -> the name under which they count."""
DROPPED = ("embedding", "predictions")
"""A tensor of BLIP-2 with this in its name is left out, as published."""
RENAMED = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
ORIGINS = ("new", "bert", "twin", "blip2")
OWN_PARTS = "ln_video.weight"
"""What a captioner's checkpoint has and BLIP-2's lacks."""


def trained_state(network: Captioner, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the network's state dict for a published captioner: nothing of it is dropped.

    Parameters
    ----------
    network : only its names and shapes count
    state : the checkpoint file's content (`{"model": ..., "optimizer": ...}`), or its state dict; towers in it are left
        out

    Raises
    ------
    ValueError
        If a name is missing or unknown, a shape differs, or a tensor that is there twice differs.
    """
    state = state.get("model", state)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    state = {name: tensor for name, tensor in state.items() if not name.startswith(TOWERS)}
    for double, name in TIED.items():
        if double in state and name in state and not torch.equal(*map(torch.as_tensor, (state[double], state[name]))):
            raise ValueError(f"not a checkpoint of UniQ4Cap: {double} must be equal to {name}")
    kept = {name: tensor for name, tensor in state.items() if name not in {*TIED, POSITION_NUMBERS}}
    return match_state(network.state_dict(), kept, "UniQ4Cap", " or its features")


@dataclass(frozen=True)
class Start:
    """What the network starts from, by names of its parameters; `new` ones keep their random numbers.

    Attributes
    ----------
    from_bert, from_blip2 : copied, and not replaced later
    twins : feed-forward parts of the queries, copies of those of the words
    dropped : of BLIP-2, left out because of their names
    unused : of both files, with no place here
    """

    from_bert: list[str]
    twins: list[str]
    from_blip2: list[str]
    dropped: list[str]
    new: list[str]
    unused: list[str]

    def __str__(self) -> str:
        return (
            f"start: {len(self.from_blip2)} tensors of BLIP-2, {len(self.from_bert)} of BERT, {len(self.twins)} of "
            f"queries copied from words, {len(self.new)} new ({', '.join(self.new) or 'none'}), {len(self.dropped)} of "
            f"BLIP-2 dropped ({', '.join(self.dropped) or 'none'}), {len(self.unused)} without a place"
        )


@torch.no_grad()
def start_from_published(
    network: Captioner, config: NetworkConfig, bert: Mapping[str, Any], blip2: Mapping[str, Any]
) -> Start:
    """Fill a new network from BERT, the queries' parts from those of the words, then from BLIP-2; say what came whence.

    Raises
    ------
    ValueError
        If a shape differs; if nothing of a file fits; if the second one is a captioner, whose words and word head the
        published code would drop without a word: it is to be imported (`checkpoint_file`).

    Notes
    -----
    parity: what BLIP-2 has with `embedding` or `predictions` in its name is dropped (`drop_embeddings`), and fewer
    queries are repeated.
    """
    blip2 = blip2.get("model", blip2)
    if OWN_PARTS in blip2:
        raise ValueError(
            "network.start: the file in place of BLIP-2 is a captioner of its own; as a start its words and its word "
            "head would be replaced by BERT's. Import it as it is: set checkpoint_file"
        )
    ours = network.state_dict(keep_vars=True)
    origin = dict.fromkeys(ours, "new")
    named = {_bert_name(name): torch.as_tensor(tensor) for name, tensor in bert.items()}
    theirs = {name: torch.as_tensor(tensor) for name, tensor in blip2.items()}
    for file, state in ((BERT[config.bert], named), (BLIP2, theirs)):
        if not ours.keys() & state.keys():
            raise ValueError(f"nothing of {file} fits; it is not the file that the weights registry describes")
    for name in ours.keys() & named.keys():
        _copy(ours[name], named[name], name, f"BERT ({config.bert})")
        origin[name] = "bert"
    for name in ours:
        twin = name.replace("_query.", ".")
        if twin != name:
            ours[name].copy_(ours[twin])
            origin[name] = "twin"
    dropped = [name for name in theirs if config.drop_embeddings and any(part in name for part in DROPPED)]
    for name in ours.keys() & (theirs.keys() - set(dropped)):
        if name == "query_tokens":
            if config.query_init == "random":
                continue
            _copy(ours[name], _tiled(theirs[name], config), name, "BLIP-2")
        else:
            _copy(ours[name], theirs[name], name, "BLIP-2")
        origin[name] = "blip2"
    of = {part: sorted(name for name, own in origin.items() if own == part) for part in ORIGINS}
    unused = (named.keys() | theirs.keys()) - ours.keys() - set(dropped) - {*TIED, POSITION_NUMBERS}
    return Start(of["bert"], of["twin"], of["blip2"], sorted(dropped), of["new"], sorted(unused))


def _bert_name(name: str) -> str:
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return f"Qformer.{name}"


def _tiled(queries: Tensor, config: NetworkConfig) -> Tensor:
    times, rest = divmod(config.queries, queries.shape[1])
    if rest:
        raise ValueError(
            f"network.queries {config.queries} must be a multiple of the {queries.shape[1]} queries of BLIP-2"
        )
    tiled = queries.repeat(1, times, 1)
    return tiled + config.tile_noise * torch.randn_like(tiled) if config.tile_noise else tiled


def _copy(ours: nn.Parameter, theirs: Tensor, name: str, what: str) -> None:
    # The table of words and what goes with it have a row more than BERT's, that of [DEC].
    rows = len(theirs) if name in (WORDS, f"{HEAD}bias") and len(ours) == len(theirs) + 1 else None
    place = ours if rows is None else ours[:rows]
    if place.shape != theirs.shape:
        raise ValueError(
            f"{what} does not fit this network: {name} {tuple(theirs.shape)} instead of {tuple(place.shape)}"
        )
    place.copy_(theirs)
