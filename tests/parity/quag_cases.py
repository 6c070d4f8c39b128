"""Cases of QUAG and of the HiREST baseline: `config.json` with weights, batches and outputs of one or both networks.

`state_dict_shapes_<form>.json` lists the tensors at the published size. The annotations, features and subtitles that
the batches were made of lie beside them; every size and option comes from `config.json`.
"""

import json
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.encoders.networks.clip import BytePairs
from models.systems.quag import optimisation, predicting, samples
from models.systems.quag.checkpoint import trained_state
from models.systems.quag.config import Config, NetworkConfig
from models.systems.quag.losses import loss_terms
from models.systems.quag.network import MomentNetwork
from models.systems.quag.packing import Runs
from models.systems.quag.samples import Video, read_video
from models.systems.quag.words import CaptionWords
from tests.parity.harness import Check, has_files
from workflow_scripts.lib.datasets.srt import parse_srt

FORMS = ("quag", "hirest")
CONFIG, ITEMS, PLAN = "config.json", "dataset_items.json", "batch_plan.json"
DATA = ("data_annotations.json", "data_raw.safetensors", "data_srt.json", ITEMS, PLAN, "batches.safetensors")
PROMPTS = ("text_embeds.json", "text_embeds.safetensors")
RESULTS = ("state.safetensors", "outputs.safetensors", "grad_norms.json")
ORDER = "multitask_order.json"
TASKS = {"moment_retrieval": "moments", "moment_segmentation": "steps", "step_captioning": "captions"}
LOGITS = {"start_logits": "start", "end_logits": "end", "logits": "boundary", "decoder_logits": "words"}
"""Stored name of an output -> ours."""
INNER = {
    "clip4cap_norm": "clip4cap_model.normalize_video.visual_norm2d",
    "asr_enc": "asr_enc_layer",
    "fc": "fc",
    "val": "val",
    "temporal_embed": "temporal_embed",
    "transformer_last": "transformer.{last}",
    "visual_embeddings": "clip4cap_model.visual.embeddings",
}
"""Stored name of an inner tensor -> the module that returns it."""
TOLERANCE = 1e-5
"""Absolute, of float32 in another order of sums."""
OFFSET_TOLERANCE = 2e-4
"""Absolute, of what follows attention with -10000 added to its scores, which leaves them three decimals: the decoder's
logits, and everything after the encoder of form hirest."""
GRADIENT_TOLERANCE = 1e-3
"""Relative."""
STEP_TOLERANCE = 1e-3
"""Relative, of losses along the optimiser's way."""
CAPTION_SCORE_TOLERANCE = 1e-3
"""Absolute, of sums of a dozen log-probabilities."""


def shapes_file(form: str) -> str:
    """Return the name of the file that lists a network's tensors."""
    return f"state_dict_shapes_{form}.json"


def claims(folder: Path) -> bool:
    """Return whether the folder has a network's state, the list of one, or the order of tasks."""
    names = [f"{form}_state.safetensors" for form in FORMS] + [shapes_file(form) for form in FORMS] + [ORDER]
    return any((folder / name).is_file() for name in names)


def checks(folder: Path) -> list[Check]:
    """Return the checks of everything that the folder holds."""
    found = [
        Check(f"full-size-{form}", partial(check_full_size, folder / shapes_file(form), form))
        for form in FORMS
        if (folder / shapes_file(form)).is_file()
    ]
    if (folder / ORDER).is_file():
        found.append(Check("task-order", partial(check_order, folder / ORDER)))
    if not has_files(folder, CONFIG, *DATA, *PROMPTS):
        return found
    data = CaseData(folder)
    found += [Check(f"items-{key}", partial(_run, partial(check_items, data, key))) for key in data.items]
    found += [Check(f"batch-{name}", partial(_run, partial(check_batch, data, name))) for name in data.plan]
    for form in FORMS:
        if has_files(folder, *(f"{form}_{name}" for name in RESULTS), "decoded.json"):
            case = NetworkCase(data, form)
            found.append(Check(f"{form}-state", partial(_run, case.check_state)))
            for name in data.plan:
                if name in case.trained:
                    found.append(Check(f"{form}-{name}-outputs", partial(_run, partial(check_outputs, case, name))))
                    found.append(Check(f"{form}-{name}-gradients", partial(_run, partial(check_gradients, case, name))))
            found += [
                Check(f"{form}-{check.__name__.removeprefix('check_')}", partial(_run, check, case)) for check in ALL
            ]
    return found


def _run(check: Callable, *args: Any) -> None:
    # The last argument is the data folder, which no check needs.
    check(*args[:-1])


def close(actual: Tensor, expected: Tensor, name: str, atol: float, rtol: float = 0.0) -> None:
    """Assert that two tensors agree, with the name in the message."""
    torch.testing.assert_close(
        torch.as_tensor(actual).detach().to(expected.dtype),
        expected,
        atol=atol,
        rtol=rtol,
        msg=lambda t: f"{name}: {t}",
    )


def check_full_size(path: Path, form: str, data_path: Path | None) -> None:
    """Names, shapes and number of parameters of the published size; no memory is taken for it."""
    listed = json.loads(path.read_text())
    with torch.device("meta"):
        network = MomentNetwork(NetworkConfig(form=form), 1024, 1024, 384)
    assert {name: list(tensor.shape) for name, tensor in network.state_dict().items()} == listed["tensors"]
    assert sum(p.numel() for p in network.parameters()) == listed["trainable_parameters_unique"]


def check_order(path: Path, data_path: Path | None) -> None:
    case = json.loads(path.read_text())
    for epoch, order in case["order"].items():
        assert optimisation.task_order(case["batches_per_task"], int(epoch)) == order, epoch


class CaseData:
    """Settings, annotations and batches of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self.items, self.plan = (self.json(name) for name in (CONFIG, ITEMS, PLAN))
        self.words = CaptionWords(self.config["vocab"])

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    @cached_property
    def batches(self) -> dict[str, Tensor]:
        return load_file(self.folder / "batches.safetensors")

    @cached_property
    def raw(self) -> dict[str, Tensor]:
        return load_file(self.folder / "data_raw.safetensors")

    @cached_property
    def queries(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Ids and embedding of every prompt."""
        stored = load_file(self.folder / PROMPTS[1])
        rows = zip(stored["prompt_ids"], stored["prompt_embeds"], strict=True)
        return dict(zip(self.json(PROMPTS[0]), rows, strict=True))

    def settings(self, form: str) -> Config:
        """Return our settings of a network."""
        c, state = self.config, load_file(self.folder / f"{form}_state.safetensors")
        positions = len(state["clip4cap_model.decoder.embeddings.position_embeddings.weight"])
        network = {
            "form": form,
            "width": c["d"],
            "fusion_width": c["d512"],
            "heads": c["n_heads"],
            "layers": c["visual_layers"],
            "decoder_layers": c["decoder_layers"],
            "ffn_dim": c["hid"],
            "vocabulary": len(c["vocab"]),
            "word_positions": positions,
        }
        decoding = {"peak_share": c["thr"], "iterations": c["iters"], "beams": c["beams"]}
        loss = {"contrastive_weight": c["alpha"]}
        return Config.model_validate({"network": network, "data": self.data, "decoding": decoding, "loss": loss})

    @property
    def data(self) -> dict[str, int]:
        c = self.config
        return {"n_rows": c["n_model_frames"], "step_rows": c["max_frames"], "max_words": c["max_words"]}

    @cached_property
    def videos(self) -> dict[tuple[str, str], Video]:
        """Videos by prompt and file name."""
        annotations, subtitles = self.json("data_annotations.json"), self.json("data_srt.json")
        options = samples.DataConfig.model_validate(self.data)
        found = {}
        for prompt, entries in annotations.items():
            for name, entry in entries.items():
                if not (entry["relevant"] and entry["clip"]):
                    continue
                video = Path(name).stem
                spans = [(line.start_s, line.end_s) for line in parse_srt(subtitles[video], f"{video}.srt")]
                speech = self.raw[f"asr_segments.{video}"].numpy(), spans
                rows = self.raw[f"vis.{name}"].numpy()
                found[prompt, name] = read_video(name, entry["v_duration"], rows, speech, options)
        return found

    def samples(self, key: str) -> list[dict[str, Any]]:
        """Return our samples of `<split>.<task>`, each with what the stored item is compared by."""
        split, task = key.split(".")
        annotations, found = self.json("data_annotations.json"), []
        for (prompt, name), video in self.videos.items():
            entry = annotations[prompt][name]
            moment = tuple(entry["bounds"])
            steps = [(tuple(step["absolute_bounds"]), step["heading"]) for step in entry["steps"]]
            own = self._of_video(TASKS[task], "train" in split, video, moment, steps)
            given = {"query": self.queries[prompt][1].numpy(), "video_id": name, "prompt": prompt, "video": video}
            found += [sample | given for sample in own]
        return found

    def _of_video(self, task: str, is_training: bool, video: Video, moment: tuple, steps: list) -> list[dict[str, Any]]:
        if task == "moments":
            return [samples.moment_sample(video, moment)]
        spans = [span for span, _ in steps]
        if task == "captions":
            options = samples.DataConfig.model_validate(self.data)
            return [samples.caption_sample(video, span, text, self.words, options) for span, text in steps]
        if not is_training:
            return [samples.steps_question(video, moment)] if steps else []
        return [samples.step_sample(video, moment, spans, i) for i in range(samples.n_step_samples(spans))]

    def batch(self, name: str) -> dict[str, Any]:
        """Return our batch of a name."""
        plan = self.plan[name]
        own = self.samples(f"{plan['split']}.{plan['task']}")
        chosen = [own[index] for index in plan["indices"]]
        return samples.collate(TASKS[plan["task"]], chosen, self.config["max_words"])


def check_items(data: CaseData, key: str) -> None:
    """Every item that the published loader builds, in its order."""
    found, items = data.samples(key), data.items[key]
    assert len(found) == len(items)
    for sample, item in zip(found, items, strict=True):
        check_item(data, sample, item)


def check_item(data: CaseData, sample: Mapping[str, Any], item: Mapping[str, Any]) -> None:
    video: Video = sample["video"]
    assert (sample["video_id"], sample["prompt"]) == (item["fname"], item["prompt"])
    assert len(video.grid) == (item["video_duration"] if item["n_model_frames"] < 0 else item["n_model_frames"])
    ones = item["moment_mask_ones"]
    if item["task"] == "step_captioning":
        _check_caption(data, sample, item, video)
        return
    assert np.flatnonzero(sample["moment_mask"]).tolist() == ones
    if "prev_boundary_mask_ones" in item:
        assert np.flatnonzero(sample["boundary_mask"]).tolist() == item["prev_boundary_mask_ones"]
        assert sample["next_row"] == item["moment_segmentation_target"]
    elif item["task"] == "moment_segmentation":
        assert list(sample["moment_rows"]) == item["moment_bound_frames"]
    else:
        rows = [sample["start_row"], sample["end_row"]]
        assert rows == [item["moment_retrieval_start_target"], item["moment_retrieval_end_target"]]
        assert [[video.second(row) for row in rows]] == item["approximate_bounds"]


def _check_caption(data: CaseData, sample: Mapping[str, Any], item: Mapping[str, Any], video: Video) -> None:
    options = samples.DataConfig.model_validate(data.data)
    ones = item["moment_mask_ones"]
    assert np.array_equal(sample["visual"], samples.step_rows(video.visual[ones], options))
    assert np.array_equal(sample["speech"], samples.step_rows(video.speech[ones], options))
    n_words = len(sample["words"])
    padding = [0] * (data.config["max_words"] - n_words)
    assert [*sample["words"], *padding] == item["input_ids"]
    assert [*sample["next_words"], *padding] == item["output_ids"]
    assert [1] * n_words + padding == item["decoder_mask"]


def check_batch(data: CaseData, name: str) -> None:
    """The collated batch, field by field."""
    batch = data.batch(name)
    stored = {key.removeprefix(f"{name}."): value for key, value in data.batches.items() if key.startswith(f"{name}.")}
    ours = {
        "vis_feats": "visual",
        "asr_feats": "speech",
        "vis_mask": "valid_mask",
        "moment_mask": "moment_mask",
        "prev_boundary_mask": "boundary_mask",
        "moment_retrieval_start_target": "start_row",
        "moment_retrieval_end_target": "end_row",
        "moment_segmentation_target": "next_row",
        "input_caption_ids": "words",
        "output_caption_ids": "next_words",
        "decoder_mask": "words_mask",
    }
    # The published batches of captions hold whole videos, ours the rows of the steps, which are outputs there.
    untrimmed = {"vis_feats", "asr_feats", "vis_mask", "moment_mask"} if batch["task"] == "captions" else set()
    for theirs in stored.keys() & (ours.keys() - untrimmed):
        close(batch[ours[theirs]], stored[theirs], theirs, 0.0)
    if "moment_bound_frames" in stored and "moment_rows" in batch:
        assert torch.tensor(batch["moment_rows"]).equal(stored["moment_bound_frames"])
    plan = data.plan[name]
    prompts = [data.items[f"{plan['split']}.{plan['task']}"][index]["prompt"] for index in plan["indices"]]
    for prompt, ids in zip(prompts, stored["clip_text_ids"], strict=True):
        own = BytePairs(len(ids))(prompt)
        assert own + [0] * (len(ids) - len(own)) == ids.tolist() == data.queries[prompt][0].tolist(), prompt


class NetworkCase:
    """One network of a folder; everything is computed on first use."""

    def __init__(self, data: CaseData, form: str) -> None:
        self.data, self.form = data, form
        self.state = load_file(data.folder / f"{form}_state.safetensors")
        self.outputs = load_file(data.folder / f"{form}_outputs.safetensors")
        self.decoded = data.json("decoded.json")[form]
        self.gradients = data.json(f"{form}_grad_norms.json")
        self.settings = data.settings(form)
        self.trained = {name.split(".")[0] for name in self.outputs if name.endswith(".loss_total")}

    def build(self) -> MomentNetwork:
        """Return a network in evaluation mode with the case's weights."""
        c = self.data.config
        network = MomentNetwork(self.settings.network, c["C"], c["C"], c["asr"])
        network.load_state_dict(trained_state(network, self.settings.network, self.state), strict=True)
        return network.eval()

    def check_state(self) -> None:
        network = self.build()
        assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == {
            name: tuple(tensor.shape) for name, tensor in self.state.items()
        }
        assert all(torch.equal(tensor, self.state[name]) for name, tensor in network.state_dict().items())

    def stored(self, batch: str, prefix: str = "") -> dict[str, Tensor]:
        """Return the stored outputs of a batch by the rest of their names."""
        start = f"{batch}.{prefix}"
        return {name.removeprefix(start): tensor for name, tensor in self.outputs.items() if name.startswith(start)}


def check_outputs(case: NetworkCase, name: str) -> None:
    """Inner tensors, logits and losses; then the logits as they are computed without superfluous rows."""
    network, batch, inner = case.build(), case.data.batch(name), {}
    for theirs, path in INNER.items():
        module = dict(network.named_modules()).get(path.format(last=case.settings.network.layers - 1))
        if module is not None:
            module.register_forward_hook(partial(_keep_first, inner, theirs))
    stored, after_encoder = case.stored(name), TOLERANCE if case.form == "quag" else OFFSET_TOLERANCE
    with torch.no_grad():
        with mock.patch.object(Runs, "of", _each_by_itself):
            found = network(batch, every_row=True)
        for theirs, expected in case.stored(name, "inter.").items():
            rows = inner[theirs].view(*batch["valid_mask"].shape, -1)
            close(rows.transpose(0, 1) if theirs == "transformer_last" else rows, expected, theirs, TOLERANCE)
        for theirs, ours in LOGITS.items():
            if theirs in stored:
                atol = OFFSET_TOLERANCE if ours == "words" else 0.0
                close(found[ours], stored[theirs], theirs, atol + after_encoder)
        terms = loss_terms(found, batch, case.settings.loss)
        close(terms["total"], stored["loss_total"], "loss_total", TOLERANCE)
        assert ("contrast" in terms) == ("loss_contrastive" in stored)
        if "contrast" in terms:
            close(terms["contrast"], stored["loss_contrastive"], "loss_contrastive", TOLERANCE)
        if batch["task"] == "captions":
            close(batch["visual"], stored["vis_trim"], "vis_trim", 0.0)
            close(batch["speech"], stored["asr_trim"], "asr_trim", 0.0)
            close(predicting.step_memory(network, batch), stored["encoder"], "encoder", after_encoder)
        quick = loss_terms(network(batch), batch, case.settings.loss)
        close(quick["total"], stored["loss_total"], "loss_total without superfluous rows", TOLERANCE)


def _each_by_itself(rows: Tensor) -> Runs:
    """Return runs of one row each, so that every inner tensor has all rows."""
    return Runs(torch.arange(len(rows)), torch.arange(len(rows)))


def _keep_first(found: dict[str, Tensor], name: str, module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
    found.setdefault(name, output)


def check_gradients(case: NetworkCase, name: str) -> None:
    expected = case.gradients[name]
    network, batch = case.build(), case.data.batch(name)
    loss_terms(network(batch), batch, case.settings.loss)["total"].backward()
    parameters = dict(network.named_parameters())
    without = {name for name, parameter in parameters.items() if parameter.grad is None}
    assert without == set(expected["no_grad_params"])
    norms = {name: parameters[name].grad.norm() for name in parameters.keys() - without}
    assert norms.keys() == expected.keys() - {"total", "no_grad_params"}
    total = torch.stack(list(norms.values())).norm()
    for parameter, norm in {**norms, "total": total}.items():
        # Gradients that cancel out (of keys' biases, for example) are rounding noise.
        close(norm, torch.tensor(expected[parameter]), parameter, 1e-6, GRADIENT_TOLERANCE)


def check_moments(case: NetworkCase) -> None:
    for name, plan in case.data.plan.items():
        if TASKS[plan["task"]] == "moments":
            found = predicting.find_moments(case.build(), case.data.batch(name), case.settings)
            assert [list(rows) for rows in found] == case.decoded[name], name


def check_steps(case: NetworkCase) -> None:
    names = [name for name, plan in case.data.plan.items() if "moment_rows" in case.data.batch(name)]
    assert names
    for name in names:
        found = predicting.find_steps(case.build(), case.data.batch(name), case.settings)
        assert found == case.decoded[name], name


def check_captions(case: NetworkCase) -> None:
    names = [name for name, plan in case.data.plan.items() if TASKS[plan["task"]] == "captions"]
    words = case.data.words
    for name in names:
        network, batch = case.build(), case.data.batch(name)
        beams = case.settings.decoding.model_copy(update={"beams": case.decoded["num_beams"]})
        found = predicting.describe_steps(network, batch, case.settings.model_copy(update={"decoding": beams}), words)
        assert [caption.ids for caption in found] == case.decoded[f"{name}_ids"]
        assert [words.text(caption.ids) for caption in found] == case.decoded[f"{name}_text"]
        scores = torch.tensor([caption.score for caption in found])
        close(scores, torch.tensor(case.decoded[f"{name}_scores"]), "scores", CAPTION_SCORE_TOLERANCE)
        greedy = case.settings.decoding.model_copy(update={"beams": 1})
        found = predicting.describe_steps(network, batch, case.settings.model_copy(update={"decoding": greedy}), words)
        assert [words.text(caption.ids) for caption in found] == case.decoded[f"{name}_text_beam1"]


def check_optimiser_steps(case: NetworkCase) -> None:
    """Loss, gradient and rate along the stored steps; without dropout.

    The stored run took them with the network whose gradients it had stored before, and the last of these still counted
    in the first step.
    """
    way = case.decoded["train_trajectory"]
    train = case.settings.train.model_copy(update={"learning_rate": 1e-3})
    network = case.build()
    optimiser = optimisation.optimiser(optimisation.parameter_groups(network, train), train)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: optimisation.rate_factor(step, 1, len(way)))
    _loss(case, network, list(case.gradients)[-1]).backward()
    for number, step in enumerate(way):
        loss = _loss(case, network, step["task"])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), train.clip_norm)
        for name, found in (("loss", loss), ("grad_norm", norm)):
            close(found, torch.tensor(step[name]), f"{name} of step {number}", 0.0, STEP_TOLERANCE)
        optimiser.step()
        rate.step()
        optimiser.zero_grad()
        assert rate.get_last_lr()[0] == torch.tensor(step["lr_after"], dtype=torch.float64).item()
    if case.form == "quag":
        close(network.temp, torch.tensor(case.decoded["temp_after"]), "temp_after", 1e-5)
    norm = network.start_predictor[0].weight.norm()
    close(norm, torch.tensor(case.decoded["start_w_norm_after"]), "start_w_norm_after", 1e-5, STEP_TOLERANCE)


def _loss(case: NetworkCase, network: MomentNetwork, name: str) -> Tensor:
    batch = case.data.batch(name)
    return loss_terms(network(batch), batch, case.settings.loss)["total"]


ALL = (check_moments, check_steps, check_captions, check_optimiser_steps)
