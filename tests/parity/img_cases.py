"""Cases of the IMG network: forward pass, loss terms, gradients and three optimiser steps of the published code.

A folder holds `meta.json`, `io.safetensors` and either `state_dict.safetensors` or, for full-size cases whose weights
and inputs follow a recipe, `pe_buffers.safetensors`.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.layers.checkpoints import match_state
from models.systems.img.config import Config
from models.systems.img.decoding import best_spans
from models.systems.img.losses import loss_terms
from models.systems.img.system import System
from tests.parity.harness import Check, has_files, in_group

BRANCHES = ("av", "v", "a")
TOLERANCE = {"atol": 5e-5, "rtol": 1e-4}
GRADIENT_TOLERANCE = {"atol": 1e-4, "rtol": 1e-3}
STEP_TOLERANCE = {"atol": 2e-4, "rtol": 0.0}

# Stored name -> module whose output it is, and which of its calls.
INTERMEDIATES = {
    "slots_a": ("event_audio_fusion.slot_attentiona", 0),
    "slots_v": ("event_audio_fusion.slot_attentionv", 0),
    "local_fusion": ("local_audio_fusion", 0),
    "event_fusion": ("event_audio_fusion", 0),
    "global_fusion": ("global_audio_fusion", 0),
    "multiscale": ("down_sample", 0),
}
LOSS_NAMES = {f"loc_{x}": f"location_{x}" for x in BRANCHES} | {f"sal_{x}": f"saliency_{x}" for x in BRANCHES}
LOSS_NAMES |= {"kl_a": "distillation_a", "kl_v": "distillation_v", "ia_gate": "gate", "ia_label": "importance_target"}
LOSS_NAMES |= {"ia_loss": "importance", "total": "total"}
TRAIN_OUTPUT_NAMES = {"train_audio_importance": "importance"}
TRAIN_OUTPUT_NAMES |= {f"train_{side}_logits_{x}": f"{side}_{x}" for side in ("start", "end") for x in BRANCHES}


def claims(folder: Path) -> bool:
    """Inside a folder `img` one of the file names is enough, elsewhere the content must tell."""
    if in_group(folder, "img"):
        return has_files(folder, "meta.json") or has_files(folder, "io.safetensors")
    if not has_files(folder, "meta.json", "io.safetensors"):
        return False
    try:
        meta = json.loads((folder / "meta.json").read_text())
        return {"class_", "p_warm_train"} <= meta.keys() and "event_num" in meta["config"]
    except (ValueError, AttributeError, KeyError, TypeError):
        return False


def checks(folder: Path) -> list[Check]:
    """Return the checks of one case."""
    case = ImgCase(folder)
    functions = (
        check_state_dict,
        check_intermediates,
        check_outputs,
        check_decoding,
        check_losses,
        check_gradients,
        check_optimiser_steps,
    )
    return [
        Check(function.__name__.removeprefix("check_"), lambda _, function=function: function(case))
        for function in functions
    ]


def seeded_normal(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the recipe's float32 draw for a name."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)


def recipe_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the recipe's value of one tensor of the state dict."""
    x = seeded_normal(name, shape)
    if name.endswith("pad_vec"):
        return np.zeros_like(x)
    if name.endswith(("unk_vec", "glove_vec", "char_emb.char_emb.weight", "position_embeddings.weight")):
        x *= np.float32(0.3)
        if name.endswith("char_emb.char_emb.weight"):
            x[0] = 0
        return x
    if name.endswith("slots_mu"):
        return x
    if name.endswith("slots_logsigma"):
        return np.float32(0.3) * x
    if "bias" in name:
        return np.float32(0.1) * x
    if "layer_norm" in name or ".norm_" in name:
        return np.float32(1.0) + np.float32(0.1) * x
    fan = shape[0] if len(shape) == 2 and shape[1] == 1 else int(np.prod(shape[1:]))
    return x / np.sqrt(np.float32(fan))


class ImgCase:
    """One case folder; everything is read or computed on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta = json.loads((folder / "meta.json").read_text())
        if not (folder / "io.safetensors").is_file():
            raise FileNotFoundError(f"{folder} has no io.safetensors")
        self.is_glove = self.meta["class_"] == "glove"
        self.config = self._config()

    def _config(self) -> Config:
        meta, sizes = self.meta, self.meta["config"]
        query = {"kind": "glove" if self.is_glove else "tokens"}
        query |= {"word_dim": sizes["word_dim"], "char_dim": sizes["char_dim"]}
        network = {"dim": sizes["dim"], "heads": sizes["num_heads"], "dropout": sizes["drop_rate"]}
        network |= {"event_num": sizes["event_num"], "slot_layers": sizes["slot_layers"]}
        network |= {"gru_layers": sizes["layers"], "max_steps": sizes["max_pos_len"], "query": query}
        loss = {"tau": meta["tmp"], "theta": meta["th"], "importance_weight": meta["ia_lamb"]}
        loss |= {"saliency_weight": meta["sa_lamb"], "distillation_weight": meta["kl_lamb"]}
        train = {"learning_rate": sizes["init_lr"], "warmup_proportion": sizes["warmup_proportion"]}
        train |= {"clip_norm": meta["clip_norm"], "batch_size": len(meta["lens"])}
        return Config.model_validate({"network": network, "loss": loss, "train": train})

    @cached_property
    def io(self) -> dict[str, Tensor]:
        return load_file(self.folder / "io.safetensors")

    @cached_property
    def system(self) -> System:
        sizes = self.meta["config"]
        fitted = {}
        if self.is_glove:
            n_words = sizes["word_size"] - 2
            vectors = base64.b64encode(bytes(4 * n_words * sizes["word_dim"])).decode()
            fitted = {"words": [f"word{i}" for i in range(n_words)], "word_vectors": vectors}
            fitted["chars"] = [chr(0x4E00 + i) for i in range(sizes["char_size"] - 2)]
        dims = {"visual": [sizes["video_feature_dim"]], "audio": [sizes["audio_feature_dim"]]}
        return System(self.config, fitted, dims | {"text": [sizes["text_feature_dim"]]})

    @cached_property
    def state(self) -> dict[str, Tensor]:
        stored = self.folder / "state_dict.safetensors"
        if stored.is_file():
            return load_file(stored)
        shapes = {name: tuple(tensor.shape) for name, tensor in self.system.network().state_dict().items()}
        buffers = load_file(self.folder / "pe_buffers.safetensors")
        drawn = {
            name: torch.from_numpy(recipe_tensor(name, shape)) for name, shape in shapes.items() if name not in buffers
        }
        return drawn | buffers

    def build(self) -> torch.nn.Module:
        """Return a network with the case's weights."""
        network = self.system.network()
        # Not by import_checkpoint: the word vectors of a case are those of no vocabulary.
        network.load_state_dict(match_state(network.state_dict(), self.state, "IMG"), strict=True)
        return network

    def _input(self, name: str, shape: tuple[int, ...], lengths: list[int] | None = None) -> Tensor:
        if f"in.{name}" in self.io:
            return self.io[f"in.{name}"]
        x = torch.from_numpy(seeded_normal(f"{self.folder.name}:{name}", shape))
        for b, length in enumerate(lengths or []):
            x[b, length:] = 0
        return x

    @cached_property
    def batch(self) -> dict:
        """The inputs and targets by our names."""
        meta, sizes, io = self.meta, self.meta["config"], self.io
        lengths, query_lengths = meta["lens"], meta["qlens"]
        n, n_steps, n_tokens = len(lengths), max(lengths), max(query_lengths)
        steps, tokens = torch.arange(n_steps), torch.arange(n_tokens)
        batch = {
            "visual": self._input("vfeats", (n, n_steps, sizes["video_feature_dim"]), lengths),
            "audio": self._input("afeats", (n, n_steps, sizes["audio_feature_dim"]), lengths),
            "n_steps": lengths,
            "video_mask": (steps < torch.tensor(lengths)[:, None]).float(),
            "query_mask": (tokens < torch.tensor(query_lengths)[:, None]).float(),
        }
        if self.is_glove:
            batch |= {"word_ids": io["in.word_ids"], "char_ids": io["in.char_ids"]}
        else:
            batch["tokens"] = self._input("tfeats", (n, n_tokens, sizes["text_feature_dim"]), query_lengths)
        targets = {"first": "s_labels", "last": "e_labels", "positives": "pos", "negatives": "neg"}
        return batch | {ours: io[f"in.{theirs}"] for ours, theirs in targets.items()}

    @cached_property
    def noise(self) -> tuple[Tensor, Tensor]:
        shape = (len(self.meta["lens"]), self.meta["config"]["event_num"], self.meta["config"]["dim"])
        return self._input("slot_noise_a", shape), self._input("slot_noise_v", shape)

    @cached_property
    def evaluated(self) -> tuple[dict[str, Tensor], dict[str, list[Tensor]]]:
        """Outputs of the network in evaluation mode, and of each of its modules per call."""
        network, calls = self.build().eval(), {}
        for name, module in network.named_modules():
            module.register_forward_hook(lambda _, __, output, name=name: calls.setdefault(name, []).append(output))
        with torch.no_grad():
            outputs = network(self.batch, self.noise, self.meta["p_warm_eval"])
        return outputs, calls

    def train_forward(self, network: torch.nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return outputs and loss terms in training mode."""
        outputs = network.train()(self.batch, self.noise, self.meta["p_warm_train"])
        return outputs, loss_terms(outputs, self.batch, self.config.loss, self.meta["kl_warm"])

    @cached_property
    def trained(self) -> tuple[torch.nn.Module, dict[str, Tensor], dict[str, Tensor]]:
        """A network after one backward pass, its outputs and loss terms."""
        network = self.build()
        outputs, terms = self.train_forward(network)
        terms["total"].backward()
        return network, outputs, terms

    def stored(self, prefix: str) -> dict[str, Tensor]:
        """Return the stored tensors whose names start with a prefix, without it."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.io.items() if name.startswith(prefix)}


def compare(actual: Tensor, expected: Tensor, name: str, tolerance: Mapping[str, float] = TOLERANCE) -> None:
    """Assert that two tensors agree, with the name in the message."""
    torch.testing.assert_close(
        actual.detach().to(expected.dtype), expected, msg=lambda text: f"{name}: {text}", **tolerance
    )


def check_state_dict(case: ImgCase) -> None:
    """The names (and, where weights are stored, the shapes) are exactly those of the published network."""
    network = case.system.network()
    ours = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert ours == {name: tuple(tensor.shape) for name, tensor in case.state.items()}
    frozen = set(case.meta["params_without_grad"])
    buffers = {name for name in ours if name.endswith(".pe.pe")}
    assert set(ours) - buffers == set(case.meta["grad_norms"]) | frozen
    assert {name for name, _ in network.named_parameters()} == set(case.meta["grad_norms"]) - frozen


def check_intermediates(case: ImgCase) -> None:
    _, calls = case.evaluated
    for name, expected in case.stored("mid.").items():
        module, call = INTERMEDIATES.get(name, (name, 0))
        if name.startswith("feature_encoder"):
            module, part = name.split("_video")[0].split("_query")[0], name.rsplit("_", 1)[1]
            call = ("video", "query").index(part)
        assert module in calls, f"mid.{name}: the network has no module {module}"
        # Full-size cases store the first steps only.
        compare(calls[module][call][:, : expected.shape[1]], expected, f"mid.{name}")


def check_outputs(case: ImgCase) -> None:
    outputs, _ = case.evaluated
    valid = case.batch["video_mask"].bool()
    for name, expected in case.stored("out.eval.").items():
        if name.startswith("pred_"):
            continue
        if name == "audio_importance":
            compare(outputs["importance"], expected, name)
            continue
        kind, branch = name.replace("_logits", "").rsplit("_", 1)
        ours = f"saliency_{kind}" if branch == "score" else f"{kind}_{branch}"
        compare(outputs[ours][valid], expected[valid], name)


def check_decoding(case: ImgCase) -> None:
    outputs, _ = case.evaluated
    for branch in BRANCHES:
        first, last, _ = best_spans(outputs[f"start_{branch}"], outputs[f"end_{branch}"])
        assert first.tolist() == case.io[f"out.eval.pred_start_{branch}"].tolist()
        assert last.tolist() == case.io[f"out.eval.pred_end_{branch}"].tolist()


def check_losses(case: ImgCase) -> None:
    _, outputs, terms = case.trained
    valid = case.batch["video_mask"].bool()
    for name, expected in case.stored("out.train.").items():
        if name in LOSS_NAMES:
            compare(terms[LOSS_NAMES[name]], expected, name)
        elif "logits" in name:
            compare(outputs[TRAIN_OUTPUT_NAMES[name]][valid], expected[valid], name)
        else:
            compare(outputs[TRAIN_OUTPUT_NAMES[name]], expected, name)


def check_gradients(case: ImgCase) -> None:
    network, _, _ = case.trained
    norms = {name: parameter.grad.norm() for name, parameter in network.named_parameters()}
    for name, norm in norms.items():
        compare(norm, torch.tensor(case.meta["grad_norms"][name]), f"gradient of {name}", GRADIENT_TOLERANCE)
    total = torch.stack(list(norms.values())).norm()
    compare(total, torch.tensor(case.meta["total_grad_norm"]), "gradient of all", GRADIENT_TOLERANCE)


def check_optimiser_steps(case: ImgCase) -> None:
    network, system = case.build(), case.system
    optimiser = system.optimiser(system.parameter_groups(network))
    schedule = system.schedule(optimiser, case.meta["config"]["num_train_steps"])
    for step in case.meta["steps"]:
        _, terms = case.train_forward(network)
        compare(terms["total"], torch.tensor(step["total"]), f"loss before step {step['step']}")
        terms["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), case.config.train.clip_norm)
        compare(
            norm, torch.tensor(step["grad_norm_before_clip"]), f"gradient of step {step['step']}", GRADIENT_TOLERANCE
        )
        np.testing.assert_allclose([group["lr"] for group in optimiser.param_groups], step["lr_used"], rtol=1e-12)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    state = network.state_dict()
    for name, expected in case.stored("after_steps.").items():
        compare(state[name], expected, f"{name} after the steps", STEP_TOLERANCE)
