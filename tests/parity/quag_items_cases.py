"""Cases of QUAG's and HiREST's inputs: what the published loader made of annotations, features and subtitles.

`config.json` holds sizes and options, `dataset_items.json` every item, `batches.safetensors` collated ones;
`multitask_order.json` the order of tasks.
"""

import json
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.encoders.networks.clip import BytePairs
from models.systems.quag import optimisation, samples
from models.systems.quag.config import Config
from models.systems.quag.samples import Video, read_video
from models.systems.quag.words import CaptionWords
from tests.parity.harness import Check, has_files
from workflow_scripts.lib.datasets.srt import parse_srt

CONFIG, ITEMS, PLAN = "config.json", "dataset_items.json", "batch_plan.json"
PROMPTS = ("text_embeds.json", "text_embeds.safetensors")
FILES = (
    CONFIG,
    ITEMS,
    PLAN,
    *PROMPTS,
    "data_annotations.json",
    "data_raw.safetensors",
    "data_srt.json",
    "batches.safetensors",
)
ORDER = "multitask_order.json"
TASKS = {"moment_retrieval": "moments", "moment_segmentation": "steps", "step_captioning": "captions"}
FIELDS = {
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
"""Stored name of a batch's field -> ours."""


def claims(folder: Path) -> bool:
    """Return whether the folder has items with all that they are made of, or the order of tasks."""
    return has_files(folder, *FILES) or (folder / ORDER).is_file()


def checks(folder: Path) -> list[Check]:
    """Return one check per task's items, per batch, and of the order."""
    found = [Check("task-order", partial(check_order, folder / ORDER))] if (folder / ORDER).is_file() else []
    if has_files(folder, *FILES):
        data = CaseData(folder)
        found += [Check(f"items-{key}", partial(check_items, data, key)) for key in data.items]
        found += [Check(f"batch-{name}", partial(check_batch, data, name)) for name in data.plan]
    return found


def close(actual: Tensor, expected: Tensor, name: str, atol: float, rtol: float = 0.0) -> None:
    """Assert that two tensors agree, with the name in the message."""
    torch.testing.assert_close(
        torch.as_tensor(actual).detach().to(expected.dtype),
        expected,
        atol=atol,
        rtol=rtol,
        msg=lambda t: f"{name}: {t}",
    )


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


def check_items(data: CaseData, key: str, data_path: Path | None) -> None:
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


def check_batch(data: CaseData, name: str, data_path: Path | None) -> None:
    """The collated batch, field by field."""
    batch = data.batch(name)
    stored = {key.removeprefix(f"{name}."): value for key, value in data.batches.items() if key.startswith(f"{name}.")}
    # The published batches of captions hold whole videos, ours the rows of the steps, which are outputs there.
    untrimmed = {"vis_feats", "asr_feats", "vis_mask", "moment_mask"} if batch["task"] == "captions" else set()
    for theirs in stored.keys() & (FIELDS.keys() - untrimmed):
        close(batch[FIELDS[theirs]], stored[theirs], theirs, 0.0)
    if "moment_bound_frames" in stored and "moment_rows" in batch:
        assert torch.tensor(batch["moment_rows"]).equal(stored["moment_bound_frames"])
    plan = data.plan[name]
    prompts = [data.items[f"{plan['split']}.{plan['task']}"][index]["prompt"] for index in plan["indices"]]
    for prompt, ids in zip(prompts, stored["clip_text_ids"], strict=True):
        own = BytePairs(len(ids))(prompt)
        assert own + [0] * (len(ids) - len(own)) == ids.tolist() == data.queries[prompt][0].tolist(), prompt
