"""all-MiniLM-L6-v2 text embeddings, loaded: settings are in `models.encoders.minilm`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open

from models.encoders.minilm import Config
from models.encoders.networks.bert import DERIVED_KEYS, Bert, BertTokens

PLAIN_BERT = {"model_type": "bert", "hidden_act": "gelu", "pad_token_id": 0}
PLAIN_MODULES = ["Transformer", "Pooling", "Normalize"]
PLAIN_LENGTHS = {"max_seq_length", "do_lower_case"}


def is_plain(folder: Path) -> bool:
    """Return whether a folder is a BERT whose sentence is the mean over its tokens, at length 1."""
    try:
        parts = ("config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json")
        network, modules, pooling, lengths = (json.loads((folder / part).read_text(encoding="utf-8")) for part in parts)
    except FileNotFoundError:
        return False
    modes = [mode for mode, is_used in pooling.items() if mode.startswith("pooling_mode") and is_used]
    return (
        {key: network.get(key) for key in PLAIN_BERT} == PLAIN_BERT
        and network.get("position_embedding_type", "absolute") == "absolute"
        and [module["type"].rsplit(".", 1)[-1] for module in modules] == PLAIN_MODULES
        and modes == ["pooling_mode_mean_tokens"]
        and lengths.keys() == PLAIN_LENGTHS
        and not lengths["do_lower_case"]
    )


class LightMiniLmEncoder:
    """Rows of shape (L, 384) per token or (1, 384) per sentence."""

    def __init__(self, config: Config, folder: Path, device: str) -> None:
        self.config, self.device = config, device
        lengths = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        self.network, self.tokens = Bert.of_folder(folder, device), BertTokens(folder, lengths["max_seq_length"])
        self.dim = self.network.dim

    @torch.inference_mode()
    def encode(self, batch: list[str]) -> list[np.ndarray]:
        # The order in which the package computes them: a row's last bit may depend on its place.
        order = np.argsort([-len(sentence) for sentence in batch])
        ids, mask = (part.to(self.device) for part in self.tokens([batch[place] for place in order]))
        states = self.network.states(ids, mask)
        if self.config.output == "tokens":
            found = [own[kept].cpu().numpy() for own, kept in zip(states, mask, strict=True)]
        else:
            is_token = mask[..., None].to(states.dtype)
            means = (states * is_token).sum(dim=1) / is_token.sum(dim=1).clamp(min=1e-9)
            found = [row[None] for row in F.normalize(means, dim=1).cpu().numpy()]
        return [found[place] for place in np.argsort(order)]


class MiniLmEncoder:
    """The same by the package, of any folder that it reads."""

    def __init__(self, config: Config, folder: Path, device: str) -> None:
        # Its import takes longer than a few hundred sentences take the light one.
        from sentence_transformers import SentenceTransformer

        self.config = config
        self.network = SentenceTransformer(str(folder), device=device, local_files_only=True)
        _require_same_keys(self.network[0].auto_model, folder / "model.safetensors", DERIVED_KEYS)
        self.dim = self.network.get_embedding_dimension()

    def encode(self, batch: list[str]) -> list[np.ndarray]:
        tokens = self.config.output == "tokens"
        rows = self.network.encode(
            batch,
            batch_size=len(batch),
            output_value="token_embeddings" if tokens else "sentence_embedding",
            show_progress_bar=False,
        )
        return [np.asarray(row.cpu() if tokens else row[None], dtype=np.float32) for row in rows]


def _require_same_keys(network: Any, path: Path, derived: set[str]) -> None:
    """Refuse what the library only warns of: tensors that stay random, or that nobody reads."""
    with safe_open(path, "np") as file:
        stored = set(file.keys()) - derived
    expected = set(network.state_dict())
    if stored != expected:
        missing, unexpected = sorted(expected - stored), sorted(stored - expected)
        raise RuntimeError(f"{path}: missing keys {missing}, unexpected keys {unexpected}")
