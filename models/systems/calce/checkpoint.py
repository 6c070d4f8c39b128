"""From published weights to CALCE's network: names, the files that its frozen parts start from, trained checkpoints."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.encoders.networks.eva import materialise, resampled_positions
from models.systems.calce.config import BERT, BLIP2, LANGUAGE_MODEL, TOWER, NetworkConfig
from models.systems.calce.language_model import ADAPTED
from models.systems.calce.network import CalceNetwork
from models.systems.calce.random_weights import shaped_for_learning
from models.weights import seeded_tensor

log = logging.getLogger(__name__)

T5 = "t5_model.base_model.model."
TIED = {
    f"{T5}encoder.embed_tokens.weight": f"{T5}shared.weight",
    f"{T5}decoder.embed_tokens.weight": f"{T5}shared.weight",
    "Qformer.cls.predictions.decoder.weight": "Qformer.bert.embeddings.word_embeddings.weight",
    "Qformer.cls.predictions.decoder.bias": "Qformer.cls.predictions.bias",
}
"""Published names of tensors that are also there under another name."""
QFORMER = "Qformer.bert."
LEFTOVERS = {*TIED, "Qformer.bert.embeddings.position_ids"}
"""What a published checkpoint holds beside its 872 trained tensors: it drops frozen parameters by name only."""
TRAINED_PARTS = ("ln_vision.", "query_proj.", "t5_proj.")
BERT_TEXT = (".intermediate.", ".output.", "word_embeddings.", "position_embeddings.")


def our_name(published: str) -> str | None:
    """Return a tensor's name in `CalceNetwork`; None for what it has no use for (tied duplicates, an unused head)."""
    if published in LEFTOVERS or published.startswith("Qformer.cls."):
        return None
    if published.startswith(T5):
        name = published.removeprefix(T5)
        module, _, kind = name.rpartition(".")
        is_base = kind == "weight" and module.rpartition(".")[2] in ADAPTED
        return f"t5_model.{module}.base_layer.weight" if is_base else f"t5_model.{name}"
    return f"qformer.{published.removeprefix(QFORMER)}" if published.startswith(QFORMER) else published


def published_name(ours: str) -> str:
    """Return the published name of a tensor of `CalceNetwork`."""
    if ours.startswith("t5_model."):
        return T5 + ours.removeprefix("t5_model.").replace(".base_layer.", ".")
    return QFORMER + ours.removeprefix("qformer.") if ours.startswith("qformer.") else ours


def published_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the published state dict: 2,280 at full size, the image tower included."""
    network = CalceNetwork(config.model_copy(update={"rows": "frames"}))
    shapes = {published_name(name): tuple(p.shape) for name, p in network.named_parameters()}
    sizes, head = config.qformer, "Qformer.cls.predictions."
    shapes |= {
        "Qformer.bert.embeddings.position_ids": (1, sizes.positions),
        f"{head}bias": (sizes.vocabulary,),
        f"{head}transform.dense.weight": (sizes.width, sizes.width),
        **{f"{head}transform.{part}": (sizes.width,) for part in ("dense.bias", "LayerNorm.weight", "LayerNorm.bias")},
    }
    return shapes | {name: shapes[twin] for name, twin in TIED.items()}


def trained_state(network: nn.Module, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict of a network for a published checkpoint.

    Parameters
    ----------
    state : the checkpoint file's content, or its state dict: 872 trained tensors, and perhaps frozen ones, which are
        left out

    Raises
    ------
    ValueError
        If a trained tensor is missing or has another shape.
    """
    state = state.get("model", state)
    wanted = {
        published_name(name): (name, tuple(p.shape))
        for name, p in network.named_parameters()
        if "lora_" in name or name.startswith(TRAINED_PARTS)
    }
    _require(wanted.keys() - state.keys(), "not a checkpoint of this CALCE configuration: missing")
    wrong = [
        f"{theirs}: {tuple(state[theirs].shape)} instead of {shape}"
        for theirs, (_, shape) in wanted.items()
        if tuple(state[theirs].shape) != shape
    ]
    if wrong:
        raise ValueError(f"checkpoint does not fit this CALCE configuration: {'; '.join(sorted(wrong)[:5])}")
    frozen = {name for name in state if name not in wanted and name not in LEFTOVERS}
    if frozen:
        log.warning(
            "the checkpoint holds %d tensors more than were trained, which are left out: %s ...",
            len(frozen),
            ", ".join(sorted(frozen)[:3]),
        )
    return {name: torch.as_tensor(state[theirs]) for theirs, (name, _) in wanted.items()}


def fill_network(network: CalceNetwork, base: Mapping[str, Mapping[str, Any]] | None) -> CalceNetwork:
    """Give memory and initial weights to a network of the meta device, and bring it to its number formats.

    Parameters
    ----------
    base : entry of the weights registry (`config.base_weights`) -> state dict; not looked at if weights are random

    Raises
    ------
    ValueError
        If a file is not given, or tensors are missing in it or have another shape.

    Notes
    -----
    The adapters and `query_proj` are new in training: they are drawn from torch's global generator, as published.
    """
    seed = network.config.seed
    # Random weights are drawn one by one into the network's own memory; a second copy would not fit beside 4 billion.
    values = _random(network, seed) if seed is not None else published_base(network, base or {}).items()
    _allocate(network)
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in values:
            parameters[name].copy_(torch.as_tensor(value))
    return network


def fill_from_state(network: CalceNetwork, state: Mapping[str, Any]) -> CalceNetwork:
    """Give memory to a network of the meta device and fill all of it from a full published state dict.

    Raises
    ------
    ValueError
        If a tensor is missing.
    """
    mapped = {our_name(name): value for name, value in state.items()}
    _require({name for name, _ in network.named_parameters()} - mapped.keys(), "not a full state of CALCE: missing")
    _allocate(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.as_tensor(mapped[name]))
    return network


def published_base(network: nn.Module, base: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the frozen tensors, and the initial `ln_vision` and `t5_proj`, by our names.

    Notes
    -----
    The Q-Former is a mixture: BLIP-2 was trained without text, so what serves text alone comes from bert-base-uncased,
    while attention and the embeddings' norm are those of BLIP-2.
    """
    wanted = (BLIP2, LANGUAGE_MODEL, BERT, *((TOWER,) if network.visual_encoder is not None else ()))
    _require(
        set(wanted) - base.keys(),
        "network.weights published is made of weights that were not given (or say random(0)):",
    )
    state = {our_name(name): value for name, value in base[BLIP2].items()}
    state |= {our_name(f"Qformer.{name}"): value for name, value in _bert_text(base[BERT]).items()}
    state |= {our_name(f"{T5}{name}"): value for name, value in base[LANGUAGE_MODEL].items()}
    if network.visual_encoder is not None:
        state |= _tower(base[TOWER], network)
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters() if not _is_new(name)}
    _require(shapes.keys() - state.keys(), f"missing in {', '.join(wanted)}:")
    wrong = [name for name, shape in shapes.items() if tuple(state[name].shape) != shape]
    _require(wrong, f"in {', '.join(wanted)}, of another shape than the sizes of `network` say:")
    return {name: state[name] for name in shapes}


def _bert_text(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of bert-base-uncased that serve text alone; older files call a norm's weights gamma and beta."""
    renamed = {
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): value
        for name, value in state.items()
    }
    return {
        name: value
        for name, value in renamed.items()
        if name.startswith("bert.") and any(part in name for part in BERT_TEXT) and "attention.output." not in name
    }


def _tower(state: Mapping[str, Any], network: CalceNetwork) -> dict[str, Any]:
    n_tokens = network.visual_encoder.pos_embed.shape[1]
    named = {f"visual_encoder.{name}": value for name, value in state.items()}
    named["visual_encoder.pos_embed"] = resampled_positions(state["pos_embed"], n_tokens)
    return named


def _random(network: nn.Module, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield seeded weights of what is not new, float32, by our names."""
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters() if not _is_new(name)}

    def draw(name: str) -> np.ndarray:
        plain = seeded_tensor(published_name(name), shapes[name], seed, gain=1.0)
        # T5 does not divide the scores of attention by the width of a head, its query maps do.
        return plain * network.config.t5.head_width**-0.5 if name.endswith(".q.base_layer.weight") else plain

    shaped = set()
    for name, value in shaped_for_learning(draw, network.config, seed):
        shaped.add(name)
        yield name, value.astype(np.float32)
    yield from ((name, draw(name)) for name in shapes if name not in shaped)


def _is_new(name: str) -> bool:
    return "lora_" in name or name.startswith("query_proj.")


def _allocate(network: CalceNetwork) -> None:
    """Give memory to all tensors, and initial values to those that training adds."""
    network.choose_formats()
    materialise(network)
    for module in network.modules():
        if hasattr(module, "reset_lora_parameters"):
            module.reset_lora_parameters("default", init_lora_weights=True)
    network.query_proj.reset_parameters()


def _require(missing: Iterable[str], message: str) -> None:
    names = sorted(missing)
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise ValueError(f"{message} {', '.join(names[:5])}{more}")
