"""Cases of CALCE's network: `model_cases.{json,safetensors}` with the weights in `model_state.safetensors`.

`state_dict_full.json.gz` lists the tensors of the full-size model.

Every case holds the frames of one or two queries, all stages on the way to the loss, gradient norms and what greedy and
beam search write. Noise of the clusterings and random deletions come from torch's global generator, as in the published
code.
"""

import gzip
import json
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.encoders.networks.eva import tokens_before_norm
from models.systems.calce import events, parsing, selection
from models.systems.calce.captions import Caption
from models.systems.calce.checkpoint import TRAINED_PARTS, fill_from_state, our_name, published_shapes, trained_state
from models.systems.calce.config import Config, NetworkConfig
from models.systems.calce.generation import search, trimmed
from models.systems.calce.language_model import END
from models.systems.calce.network import PADDING, CalceNetwork, padded
from models.systems.calce.prompt import VISUAL, target
from models.systems.calce.selection import Draws, Selector
from models.systems.calce.tokens import t5
from tests.parity.harness import Check, has_files

TOLERANCE = {
    "vit_out": 2e-5,
    "ln_vision_out": 1e-5,
    "qformer_out": 2e-5,
    "inputs_embeds": 3e-5,
    "logits": 1e-4,
    "loss": 1e-5,
    "cosine": 1e-5,
    "beam_score": 1e-4,
}
"""Absolute, as the folder's README states them; sums of float32 in another order."""
GRADIENT_TOLERANCE = 1e-3
"""Relative: norms of float32 gradients of up to 60."""


SECOND_STAGE = {"bias2": "filter_reach", "topk": "kept_clusters"}
"""Stored name of an option -> ours."""
BEAMS = "gen.sequences_beam"
CASE_FILES = ("model_cases.json", "model_cases.safetensors", "model_state.safetensors")
FULL_LIST = "state_dict_full.json.gz"


def claims(folder: Path) -> bool:
    """Return whether the folder has the three files of cases, or the list."""
    return has_files(folder, *CASE_FILES) or has_files(folder, FULL_LIST)


def checks(folder: Path) -> list[Check]:
    """Return the checks of the list, of the weights and of all cases."""
    found = [Check("full-size", partial(check_full_size, folder / FULL_LIST))] if has_files(folder, FULL_LIST) else []
    if not has_files(folder, *CASE_FILES):
        return found
    shared = Shared(folder)
    found.append(Check("state", shared.check_state))
    for name in shared.meta["cases"]:
        case = ModelCase(shared, name)
        found += [Check(f"{name}-{check.__name__.removeprefix('check_')}", partial(_run, check, case)) for check in ALL]
    return found


def _run(check: Callable, case: "ModelCase", data_path: Path | None) -> None:
    check(case)


def close(actual: Tensor, expected: Tensor, name: str, atol: float, rtol: float = 0.0) -> None:
    """Assert that two tensors agree, with the name in the message."""
    torch.testing.assert_close(
        actual.detach().to(expected.dtype), expected, atol=atol, rtol=rtol, msg=lambda text: f"{name}: {text}"
    )


def check_full_size(path: Path, data_path: Path | None) -> None:
    """Names, shapes and what is trained of the full-size network; no memory is taken for it."""
    listed = json.loads(gzip.decompress(path.read_bytes()))
    config = NetworkConfig()
    assert published_shapes(config) == {name: tuple(entry["shape"]) for name, entry in listed.items()}
    trained = {our_name(name) for name, entry in listed.items() if entry["trainable"]}
    network = CalceNetwork(config)
    assert {name for name, p in network.named_parameters() if p.requires_grad} == trained
    assert network.state_dict().keys() == trained


class Shared:
    """Weights and settings of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta = json.loads((folder / "model_cases.json").read_text())

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.folder / "model_cases.safetensors")

    @cached_property
    def state(self) -> dict[str, Tensor]:
        return load_file(self.folder / "model_state.safetensors")

    def config(self, stage: int) -> Config:
        """Return the settings of one of the stages."""
        theirs, events_of = self.meta["config"], self.meta[f"stage{stage}"]
        vit, qf, lm = theirs["vit"], theirs["qf"], theirs["t5"]
        rank = self.state["t5_model.base_model.model.lm_head.lora_A.default.weight"].shape[0]
        hidden = len(self.state["visual_encoder.blocks.0.mlp.fc1.weight"])
        words, positions = (
            len(self.state[f"Qformer.bert.embeddings.{name}_embeddings.weight"]) for name in ("word", "position")
        )
        network = {
            "weights": "random(0)",
            "rows": "frames",
            "vision": {
                "image_size": vit["img"],
                "patch_size": self.state["visual_encoder.patch_embed.proj.weight"].shape[-1],
                # The width is rounded down from the ratio.
                "mlp_ratio": (hidden + 0.5) / vit["dim"],
                "width": vit["dim"],
                "layers": vit["depth"],
                "head_width": vit["dim"] // vit["heads"],
            },
            "vision_precision": "fp32",
            "qformer": {
                "width": qf["dim"],
                "layers": qf["layers"],
                "heads": qf["heads"],
                "ffn_dim": qf["ff"],
                "queries": qf["nq"],
                "vocabulary": words,
                "positions": positions,
            },
            "short_queries": self.state["query_proj.weight"].shape[0],
            "t5": {
                "width": lm["dim"],
                "head_width": lm["dkv"],
                "heads": lm["heads"],
                "ffn_dim": lm["ff"],
                "layers": lm["layers"],
            },
            "lora": {"rank": rank, "alpha": rank},
            "precision": "fp32",
            "padding": "segments",
        }
        chosen = {"clusters": events_of["num_clusters"], "reach": events_of["bias1"], "strict_reference": True}
        chosen |= {ours: events_of[theirs] for theirs, ours in SECOND_STAGE.items() if theirs in events_of}
        return Config.model_validate({"stage": stage, "network": network, "events": chosen})

    def network(self, stage: int) -> CalceNetwork:
        return fill_from_state(CalceNetwork(self.config(stage).network), self.state).eval()

    def check_state(self, data_path: Path | None) -> None:
        """Names, shapes and what is trained are those of the published model."""
        shapes = published_shapes(self.config(1).network)
        for name in self.meta["tied"]:
            del shapes[name]
        assert shapes == {name: tuple(tensor.shape) for name, tensor in self.state.items()}
        network = self.network(1)
        trained = {our_name(name) for name in self.meta["trainable"]}
        assert {name for name, p in network.named_parameters() if p.requires_grad} == trained
        assert network.state_dict().keys() == trained
        assert all(name.startswith(TRAINED_PARTS) or "lora_" in name for name in trained)
        published = {name: value for name, value in self.state.items() if our_name(name) in trained}
        imported = trained_state(network, {"model": published})
        assert all(torch.equal(value, network.state_dict()[name]) for name, value in imported.items())


class ModelCase:
    """One case; everything is computed on first use."""

    def __init__(self, shared: Shared, name: str) -> None:
        self.shared, self.name = shared, name
        self.meta = shared.meta["cases"][name]
        self.config = shared.config(self.meta["stage"])

    def stored(self, name: str) -> Tensor:
        return self.shared.tensors[f"{self.name}.{name}"]

    @cached_property
    def network(self) -> CalceNetwork:
        return self.shared.network(self.meta["stage"])

    @cached_property
    def samples(self) -> list[dict]:
        found = []
        for i in range(self.meta["batch"]):
            windows = self.meta["stage1_result"]
            found.append(
                {
                    "query_id": str(i),
                    "query": self.meta["query_prompt"][i].removeprefix("Query: ").removesuffix("\n"),
                    "items": self.meta["item_prompt"][i].removeprefix("Items: ").removesuffix("\n").split(","),
                    "duration_s": int(self.stored("duration")[i]),
                    "times_s": self.stored("timestamps")[i],
                    "captions": [Caption(c["start"], c["end"], c["text"]) for c in self.meta["subtitles"][i]],
                    "speech_spans": [tuple(span) for span in self.meta["subtitle_durations"][i]],
                    "windows": json.loads(windows[i]) if windows else None,
                }
            )
        return found

    @cached_property
    def tokens(self) -> Tensor:
        return tokens_before_norm(self.network.visual_encoder, self.stored("video").flatten(0, 1))

    def prompts(self) -> tuple[list, dict[str, list]]:
        """Return the prompts from the stored ViT output, and (inputs, output) of every clustering and compression."""
        calls: dict[str, list] = {"cluster": [], "compress": []}

        def recorded(name: str, function: Callable) -> Callable:
            def record(*args, **options):
                result = function(*args, **options)
                calls[name].append((args, result))
                return result

            return record

        # The first use of a network draws its initial weights from the generator that is seeded next.
        rows, n_clusterings = self.tokens.flatten(1), self.meta["stage"]
        torch.manual_seed(self.meta["seed"])
        noises = [torch.rand(self.meta["batch"], self.meta["t"]) for _ in range(n_clusterings)]
        samples = []
        for i, sample in enumerate(self.samples):
            own = [noise[i] for noise in noises] + [None] * (2 - n_clusterings)
            samples.append(sample | {"draws": Draws((own[0], own[1]), None)})
        for j, noise in enumerate(noises):
            close(noise, self.stored(f"ctm{j}.noise"), f"noise {j}", 0.0)
        batch = {"rows": rows, "n_frames": [self.meta["t"]] * len(samples), "samples": samples}
        with (
            mock.patch.object(events, "_group", recorded("cluster", events._group)),
            mock.patch.object(selection, "compress", recorded("compress", selection.compress)),
        ):
            # The tower's output is what a feature store would deliver.
            settings = self.network.config.model_copy(update={"rows": "tokens"})
            with mock.patch.object(self.network, "config", settings):
                found = self.network.prompts(batch, Selector(self.config))
        return found, calls

    @cached_property
    def chosen(self) -> tuple[list, dict[str, list]]:
        with torch.no_grad():
            return self.prompts()


def check_tower(case: ModelCase) -> None:
    close(case.tokens, case.stored("vit_out"), "vit_out", TOLERANCE["vit_out"])


def check_qformer(case: ModelCase) -> None:
    tokens = case.network.normalised(case.stored("vit_out"))
    close(tokens, case.stored("ln_vision_out"), "ln_vision_out", TOLERANCE["ln_vision_out"])
    close(case.network.ask(tokens), case.stored("qformer_out"), "qformer_out", TOLERANCE["qformer_out"])


def check_captions(case: ModelCase) -> None:
    for sample, expected in zip(case.samples, case.meta["subtitle_cosines"], strict=True):
        if expected:
            found = Selector(case.config).similarities(case.network, sample)
            close(found, torch.tensor(expected), "cosines", TOLERANCE["cosine"])


def check_frames(case: ModelCase) -> None:
    _, calls = case.chosen
    n_clusterings = case.meta["stage"]
    assert len(calls["cluster"]) == n_clusterings * case.meta["batch"]
    for i in range(case.meta["batch"]):
        for j in range(n_clusterings):
            args, ids = calls["cluster"][i * n_clusterings + j]
            assert torch.equal(ids.cpu(), case.stored(f"ctm{j}.idx")[i]), (i, j)
            if j == 1:
                assert torch.equal(args[3].cpu().int(), case.stored("ctm1.mask")[i].int())
        if n_clusterings == 2:
            args, result = calls["compress"][i]
            for name, mask in zip(("key_in", "nonkey_in", "key_out", "nonkey_out"), (*args[:2], *result), strict=True):
                assert torch.equal(mask.int(), case.stored(f"compress{i}.{name}").int()), name


def check_inputs(case: ModelCase) -> None:
    prompts, _ = case.chosen
    ids = padded([prompt.segments for prompt in prompts], "segments")
    assert (VISUAL, PADDING) == (-1, -2)
    assert torch.equal(ids, case.stored("layout_ids"))
    longest = [max(len(part) for part in parts) for parts in zip(*[p.segments for p in prompts], strict=True)]
    assert longest == case.meta["embed_lens"]
    embedded, mask = case.network.inputs(prompts)
    close(embedded, case.stored("inputs_embeds"), "inputs_embeds", TOLERANCE["inputs_embeds"])
    assert torch.equal(mask, case.stored("attention_mask"))


def check_labels(case: ModelCase) -> None:
    labels, valid = case.stored("labels"), case.stored("decoder_attention_mask")
    assert torch.equal(labels != -100, valid.bool())
    for row, written in zip(labels, case.meta["relevant_windows"], strict=True):
        assert t5().ids(target(json.loads(written))) == row[row != -100].tolist()


def check_loss(case: ModelCase) -> None:
    labels = case.stored("labels")
    logits = case.network.logits(case.stored("inputs_embeds"), case.stored("attention_mask"), labels)
    close(logits[..., 0:2000:7], case.stored("logits_slice"), "logits", TOLERANCE["logits"])
    close(logits.logsumexp(-1), case.stored("logits_logsumexp"), "logsumexp", TOLERANCE["logits"])
    assert torch.equal(logits.argmax(-1), case.stored("logits_argmax"))
    loss = case.network.loss(logits, labels)
    close(loss, torch.tensor(case.meta["loss"]), "loss", TOLERANCE["loss"])


def check_gradients(case: ModelCase) -> None:
    network = case.network
    network.zero_grad(set_to_none=True)
    labels = case.stored("labels")
    loss = network.loss(network.logits(*network.inputs(case.prompts()[0]), labels), labels)
    close(loss, torch.tensor(case.meta["loss"]), "loss of the whole way", TOLERANCE["loss"])
    loss.backward()
    parameters = dict(network.named_parameters())
    for name, expected in case.meta["grad_norms"].items():
        norm = parameters[our_name(name)].grad.norm()
        close(norm, torch.tensor(expected), name, 1e-6, GRADIENT_TOLERANCE)
    assert sum(p.grad is not None for p in network.parameters()) == case.meta["n_params_with_grad"]
    network.zero_grad(set_to_none=True)


def check_greedy(case: ModelCase) -> None:
    _check_answers(case, 1, case.meta["gen_raw_beam1"])


def check_beams(case: ModelCase) -> None:
    prefix = f"{case.name}.{BEAMS}"
    [beams] = {int(name.removeprefix(prefix)) for name in case.shared.tensors if name.startswith(prefix)} - {1}
    found = _check_answers(case, beams, case.meta["gen_raw"])
    # transformers 4.31 divided the score of an answer that never ends by its length with the start token, later ones
    # without; those of answers that end are the same.
    n_tokens = case.config.decoding.max_tokens
    is_open = ~(found.sequences == END).any(dim=1)
    scores = torch.where(is_open, found.sequences_scores * n_tokens / (n_tokens + 1), found.sequences_scores)
    close(scores, case.stored(f"gen.sequences_scores_beam{beams}"), "scores", TOLERANCE["beam_score"])
    for text, windows, sample in zip(case.meta["gen_raw"], case.meta["gen_pred"], case.samples, strict=True):
        assert parsing.windows(text, sample["duration_s"]) == windows


def _check_answers(case: ModelCase, beams: int, texts: list[str]):
    options = case.config.decoding.model_copy(update={"beams": beams})
    with torch.no_grad():
        embedded, mask = case.network.inputs(case.chosen[0])
        found = case.network.t5_model.generate(
            inputs_embeds=embedded,
            attention_mask=mask,
            generation_config=search(options),
            return_dict_in_generate=True,
            output_scores=True,
        )
    assert torch.equal(found.sequences, case.stored(f"{BEAMS}{beams}"))
    assert [t5().decode(ids) for ids in trimmed(found.sequences)] == texts
    return found


ALL = (
    check_tower,
    check_qformer,
    check_captions,
    check_frames,
    check_inputs,
    check_labels,
    check_loss,
    check_gradients,
    check_greedy,
    check_beams,
)
