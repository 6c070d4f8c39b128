"""Cases of MRNet: `NAME.json` with `NAME.safetensors`, of the whole network or of its parts (`units`).

A network's case holds weights, inputs, intermediate tensors, scores, spans, metrics, gradients and three optimiser
steps of the published code.
"""

import json
import random
import re
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.layers.nms import best_apart
from models.layers.pooling import pool_tokens
from models.systems.interface import Annotated, FeatureRows, Item
from models.systems.mrnet.candidates import candidate_cells, cell_spans, clamp_moment, hull_iou
from models.systems.mrnet.checkpoint import detect
from models.systems.mrnet.config import Config
from models.systems.mrnet.decoding import candidate_scores
from models.systems.mrnet.losses import loss_terms
from models.systems.mrnet.network import MrnetNetwork
from models.systems.mrnet.retention import query_positions
from models.systems.mrnet.system import System
from tests.parity.harness import Check, in_group
from tests.score_maps import MapScores, VideoMaps, evaluate

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
LOSS_TOLERANCE = {"atol": 0.0, "rtol": 1e-5}
STEP_TOLERANCE = {"atol": 0.0, "rtol": 1e-4}
GRADIENT_TOLERANCE = {"atol": 1e-5, "rtol": 1e-3}
RUNNING_TOLERANCE = {"atol": 1e-6, "rtol": 1e-4}
# A cosine's logit is ten times as large as the cosine.
SCORE_TOLERANCE = {"atol": 1e-5, "rtol": 0.0}

ATTEND = {"all": "all", "v": "video", "trans": "plain", "no": "none"}
MASK = {"both": "decay_sparse", "ret": "decay", "sparse": "sparse", "no": "none"}
QKV = {"main": "per_modality", "tacos": "shared"}
WITHOUT_SOFTMAX = {"main": "zero", "tacos": "linear"}
LATE_EPOCH = 10_000
RESULTS = ("contrastive.", "iou.", "nms_")
"""Tensors of `eval.` that are no intermediate ones."""
VIDEO = re.compile(r"_v\d+$")
LAYER = re.compile(r"ret_layer(\d+)")


def claims(folder: Path) -> bool:
    """Inside a folder `mrnet` a pair of files is enough, elsewhere the content must tell."""
    names = case_names(folder)
    return bool(names) and (in_group(folder, "mrnet") or any(is_network(folder, name) for name in names))


def case_names(folder: Path) -> list[str]:
    """Return the names that have both files."""
    return sorted(path.stem for path in folder.glob("*.json") if path.with_suffix(".safetensors").is_file())


def is_network(folder: Path, name: str) -> bool:
    """Return whether a case is of the whole network."""
    try:
        return "MODEL.RET.NUM_CLIPS" in json.loads((folder / f"{name}.json").read_text())["config"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def checks(folder: Path) -> list[Check]:
    """Return the checks of all cases of a folder."""
    found = []
    for name in case_names(folder):
        meta = json.loads((folder / f"{name}.json").read_text())
        # Weights may lie in a file of their own, NAME.state.safetensors.
        tensors = {}
        for path in [folder / f"{name}.safetensors", *folder.glob(f"{name}.*.safetensors")]:
            tensors |= load_file(path)
        functions, case = (
            (NETWORK_CHECKS, MrnetCase(meta, tensors))
            if is_network(folder, name)
            else (
                UNIT_CHECKS,
                Units(meta, tensors),
            )
        )
        found += [
            Check(f"{name}-{function.__name__.removeprefix('check_')}", partial(_run, function, case))
            for function in functions
        ]
    return found


def _run(function: Callable, case: object, data_path: Path | None) -> None:
    function(case)


def compare(actual: Tensor, expected: Tensor, name: str, tolerance: Mapping[str, float] = TOLERANCE) -> None:
    """Assert that two tensors agree, with the name in the message."""
    actual = torch.as_tensor(actual).detach().to(expected.dtype)
    torch.testing.assert_close(actual, expected, msg=lambda text: f"{name}: {text}", **tolerance)


class MrnetCase:
    """One network case; everything is computed on first use."""

    def __init__(self, meta: dict, tensors: dict[str, Tensor]) -> None:
        self.meta, self.io = meta, tensors
        self.theirs = meta["config"]
        self.state = self.stored("state.")
        self.config = self._config()

    def stored(self, prefix: str) -> dict[str, Tensor]:
        """Return the stored tensors whose names start with a prefix, without it."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.io.items() if name.startswith(prefix)}

    def numbered(self, prefix: str) -> list[Tensor]:
        """Return the stored tensors `prefix.0`, `prefix.1`, ..."""
        found = self.stored(f"{prefix}.")
        return [found[str(i)] for i in range(len(found))]

    def _config(self) -> Config:
        c, variant = self.theirs, self.meta["variant"]
        ret = {key.removeprefix("MODEL.RET."): value for key, value in c.items() if key.startswith("MODEL.RET.")}
        has_layers = any(name.startswith("trans_ret.") for name in self.state)
        retention = {
            "layers": c["SOLVER.TRANS_LAYER"] if has_layers else 0,
            "skip": not c["SOLVER.USE_LRTNET"],
            "heads": c["SOLVER.N_HEAD"],
            "attn_dropout": c["SOLVER.ATT_DROPOUT"] or 0.0,
            "gamma": c["SOLVER.GAMMA"],
            "qkv": QKV[variant],
            "attend": ATTEND[c["SOLVER.ATT_MODE"]],
            "normalise": "softmax" if c["SOLVER.ATT_SOFTMAX"] else WITHOUT_SOFTMAX[variant],
            "mask": MASK[c["SOLVER.MASK_MODE"]],
            "bidirectional": c["SOLVER.D_DOUBLE"],
        }
        network = {
            "dim": ret["JOINT_SPACE_SIZE"],
            "feature_dim": ret["FEATPOOL.HIDDEN_SIZE"],
            "pre_clips": c["INPUT.NUM_PRE_CLIPS"],
            "clips": ret["NUM_CLIPS"],
            "pool_kernel": ret["FEATPOOL.KERNEL_SIZE"],
            "pooling_counts": ret["FEAT2D.POOLING_COUNTS"],
            "proposals": ret["FEAT2D.NAME"],
            "conv_kernel": ret["PREDICTOR.KERNEL_SIZE"],
            "conv_layers": ret["PREDICTOR.NUM_STACK_LAYERS"],
            "conv_dim": ret["PREDICTOR.HIDDEN_SIZE"],
            "retention": retention,
        }
        loss = {
            "min_iou": ret["LOSS.MIN_IOU"],
            "max_iou": ret["LOSS.MAX_IOU"],
            "positives": ret["LOSS.NUM_POSTIVE_VIDEO_PROPOSAL"],
            "negative_iou": ret.get("LOSS.NEGATIVE_VIDEO_IOU", 0.5),
            "tau_video": ret["LOSS.TAU_VIDEO"],
            "tau_sentence": ret["LOSS.TAU_SENT"],
            "margin": ret["LOSS.MARGIN"],
            "contrastive_weight": ret["LOSS.CONTRASTIVE_WEIGHT"],
            "sparse_weight": c["SOLVER.SPARSE_WEIGHT"],
            "sparse_floor": c["SOLVER.LOSS_RATIO"],
            "all_losses_epochs": c["SOLVER.ONLY_IOU"],
        }
        train = {"batch_size": c["SOLVER.BATCH_SIZE"], "learning_rate": c["SOLVER.LR"]}
        decoding = {"power": c["TEST.CONTRASTIVE_SCORE_POW"], "nms_threshold": c["TEST.NMS_THRESH"], "max_spans": None}
        return Config.model_validate({"network": network, "loss": loss, "train": train, "decoding": decoding})

    @cached_property
    def system(self) -> System:
        dims = {
            "visual": [self.theirs["MODEL.RET.FEATPOOL.INPUT_SIZE"]],
            "text": [self.theirs["MODEL.RET.INPUT_TEXT_DIM"]],
        }
        return System(self.config, {}, dims)

    def build(self) -> MrnetNetwork:
        """Return a network with the case's weights."""
        network = self.system.network()
        network.load_state_dict(self.system.import_checkpoint(self.state), strict=True)
        return network

    @cached_property
    def batch(self) -> dict:
        queries, moments = self.numbered("in.queries"), self.numbered("in.moments")
        first, last = self.system.cells.T
        counts = torch.tensor([len(part) for part in queries])
        joined = torch.cat(moments).numpy()
        return {
            "query_ids": [[f"{v}.{q}" for q in range(len(part))] for v, part in enumerate(queries)],
            "video_ids": [str(v) for v in range(len(queries))],
            "durations_s": self.io["in.durations"].tolist(),
            "rows": self.io["in.feats"],
            "queries": torch.nn.utils.rnn.pad_sequence(queries, batch_first=True),
            "n_queries": counts,
            "iou": torch.cat([iou[:, first, last] for iou in self.numbered("in.iou2d")]),
            "moment_iou": torch.from_numpy(hull_iou(joined[:, None], joined)),
            "video_of_query": torch.arange(len(queries)).repeat_interleave(counts),
            "map_video": torch.arange(len(queries)),
        }

    @cached_property
    def evaluated(self) -> tuple[MrnetNetwork, dict[str, Tensor], dict[str, list]]:
        """Network in evaluation mode, its outputs, and (inputs, output) of each module per call."""
        network, calls = self.build().eval(), {}
        for name, module in network.named_modules():
            module.register_forward_hook(lambda _, i, o, name=name: calls.setdefault(name, []).append((i, o)))
        with torch.no_grad():
            outputs = network(self.batch)
        return network, outputs, calls

    def training_network(self) -> MrnetNetwork:
        """Return a network in training mode whose dropout does nothing, as in the stored runs."""
        network = self.build().train()
        for module in network.modules():
            if hasattr(module, "p"):
                module.p = 0.0
        return network

    def losses(self, network: MrnetNetwork, epoch: int = 0) -> dict[str, Tensor]:
        return loss_terms(network(self.batch), self.batch, self.config.loss, self.config.train.batch_size, epoch)


def check_state_dict(case: MrnetCase) -> None:
    """Names and shapes are those of the published network, and tell its settings."""
    ours = {name: tuple(tensor.shape) for name, tensor in case.system.network().state_dict().items()}
    assert ours == {name: tuple(tensor.shape) for name, tensor in case.state.items()}
    if case.config.network.retention.layers:
        assert detect(case.state)["retention.qkv"] == QKV[case.meta["variant"]]
    n_params = sum(p.numel() for p in case.system.network().parameters())
    assert n_params == case.meta["n_params"]


def check_constants(case: MrnetCase) -> None:
    network, n = case.build(), case.config.network.clips
    mask = torch.zeros(n, n)
    mask[tuple(torch.from_numpy(case.system.cells.T.copy()))] = 1
    found = {"mask2d": mask}
    if case.config.network.retention.layers:
        layer = network.trans_ret.rets[0]
        found["decay_D"] = layer.decay
        for number, own in enumerate(network.trans_ret.rets):
            found[f"sparse_mask_layer{number}"] = own.learned_mask() + torch.eye(n)
    for c in range(case.config.network.conv_layers):
        found[f"masked_weight_layer{c}"] = getattr(network.proposal_conv, f"weight_{c}")
    for name, expected in case.stored("const.").items():
        if name in ("xpos_q", "xpos_k"):
            continue
        if name == "xpos_in":
            for ours, theirs in zip(layer.xpos(expected), ("xpos_q", "xpos_k"), strict=True):
                compare(ours, case.io[f"const.{theirs}"], theirs)
        elif name.startswith("txt_pos_n"):
            k = expected.shape[1]
            compare(query_positions(torch.tensor([k]), k, expected.shape[2]), expected, name)
        else:
            compare(found[name].reshape(expected.shape), expected, name)


def check_intermediates(case: MrnetCase) -> None:
    """Stored tensors of the whole batch, and of single videos (`..._v0`)."""
    network, _, calls = case.evaluated
    for name, expected in case.stored("eval.").items():
        if name.startswith(RESULTS):
            continue
        part, _, video = name.rpartition("_v") if VIDEO.search(name) else (name, "", "0")
        with torch.no_grad():
            found = _intermediate(case, network, calls, part, int(video))
        compare(found, expected, f"eval.{name}")


def _intermediate(case: MrnetCase, network: MrnetNetwork, calls: dict[str, list], part: str, video: int) -> Tensor:
    """Return what a module gave, of one video where the case stores it so."""
    n_queries = int(case.batch["n_queries"][video])

    def output(name: str) -> Any:
        return calls[name][0][1]

    def joined(text: Tensor, rows: Tensor) -> Tensor:
        one = slice(video, video + 1)
        return torch.cat((text[one, :n_queries], rows[one]), dim=1)

    if part == "featpool":
        return output("featpool")
    if part == "input_vid_proj":
        return network.clips(case.batch["rows"])[video]
    if part == "text_encoder_unused_head":
        return network.text_encoder.fc_out1(case.batch["queries"][video, :n_queries])
    if part in ("text_encoder", "text_out_iou"):
        return output(part.removesuffix("_iou"))[video, :n_queries]
    if part == "sparsity":
        return output("trans_ret")[2].reshape(1)
    if part == "trans_ret":
        return joined(*output("trans_ret")[:2])
    if match := LAYER.fullmatch(part):
        return joined(*output(f"trans_ret.rets.{match[1]}")[:2])
    given = output("feat2d")[video : video + 1], network.feat2d.background
    if part == "feat2d":
        return network.proposal_conv.first_map(*given)[0]
    content = network.proposal_conv.dense_map(*given)
    heads = {"map_contrastive": "conv1x1_contrastive", "map_iou": "conv1x1_iou"}
    return getattr(network.proposal_conv, heads[part])(content)[0]


def check_scores(case: MrnetCase) -> None:
    _, outputs, _ = case.evaluated
    first, last = case.system.cells.T
    for name, ours in (("contrastive", outputs["contrastive"]), ("iou", outputs["iou_logits"].sigmoid())):
        maps = torch.cat(case.numbered(f"eval.{name}"))
        compare(ours, maps[:, first, last], f"eval.{name}", SCORE_TOLERANCE)
        outside = torch.ones(maps.shape[1:], dtype=torch.bool)
        outside[first, last] = False
        assert not maps[:, outside].any()


def check_spans(case: MrnetCase) -> None:
    """Suppression of the stored scores keeps exactly the stored spans; our own best span has the best stored score.

    A random network scores most candidates alike, thousands within a rounding error, so that the spans kept of our own
    scores cannot be the stored ones throughout.
    """
    first, last = case.system.cells.T
    maps = [[m[:, first, last] for m in case.numbered(f"eval.{name}")] for name in ("contrastive", "iou")]
    decoding, durations_s = case.config.decoding, case.batch["durations_s"]
    settings = {"power": decoding.power, "threshold": decoding.nms_threshold}
    settings |= {"n_clips": case.config.network.clips, "durations": durations_s}
    require_spans(kept_spans(maps, case.system.cells, **settings), case.io, "eval.")
    network, _, _ = case.evaluated
    with torch.no_grad():
        best = {p.query_id: p for p in case.system.predict(network, case.batch, None, "moments") if p.rank == 0}
    for video, (contrastive, iou) in enumerate(zip(*maps, strict=True)):
        spans = cell_spans(case.system.cells, case.config.network.clips, durations_s[video])
        scores = candidate_scores(contrastive, iou, decoding.power)
        for query_id, row in zip(case.batch["query_ids"][video], scores, strict=True):
            found = best[query_id]
            place = np.flatnonzero((spans == np.float32([found.start_s, found.end_s])).all(axis=1))
            assert len(place) == 1
            assert row[place[0]] >= row.max() - SCORE_TOLERANCE["atol"]


def kept_spans(
    maps: list[list[Tensor]], cells: np.ndarray, power: float, threshold: float, n_clips: int, durations: list[float]
) -> list[list]:
    """Return all spans that suppression keeps of the stored scores of candidates."""
    kept = []
    for contrastive, iou, duration_s in zip(*maps, durations, strict=True):
        spans = cell_spans(cells, n_clips, duration_s)
        for row in candidate_scores(contrastive, iou, power):
            # The stored runs sorted with torch 2.15, which leaves equal scores in no fixed order; the system sorts
            # stably, as torch 1.11 did for the authors.
            order = row.sort(descending=True).indices.numpy()
            places = best_apart(order, spans, threshold, None)
            assert best_apart(order, spans, threshold, 5) == places[:5]
            kept.append(spans[places].tolist())
    return kept


def require_spans(found: list[list], io: Mapping[str, Tensor], prefix: str) -> None:
    """Assert that the spans kept are those stored."""
    assert [len(spans) for spans in found] == io[f"{prefix}nms_kept"].tolist()
    for spans, expected in zip(found, io[f"{prefix}nms_top5"].tolist(), strict=True):
        padded = [list(span) for span in spans[:5]] + [[-1.0, -1.0]] * (5 - len(spans))
        assert padded == expected


def evaluated_maps(
    durations: list[float], maps: list[list[Tensor]], moments: list[Tensor], meta: dict, power: float, threshold: float
) -> MapScores:
    """Return the scores of stored maps by `workflow_scripts.lib.metrics`."""
    thresholds = sorted({float(key.split("IoU@")[1]) for key in meta["metrics"] if "IoU@" in key})
    named = {entry["idx"]: (video_id, entry) for video_id, entry in meta["results_json"].items()}
    videos = []
    for v, (duration_s, *tensors, spans) in enumerate(zip(durations, *maps, moments, strict=True)):
        video_id, entry = named[v]
        arrays = (tensor.numpy() for tensor in (*tensors, spans))
        videos.append(VideoMaps(video_id, duration_s, entry["sentences"], *arrays))
    return evaluate(videos, power, threshold, thresholds)


def check_metrics(case: MrnetCase) -> None:
    maps = [case.numbered(f"eval.{name}") for name in ("contrastive", "iou")]
    moments, decoding = case.numbered("in.moments"), case.config.decoding
    settings = (decoding.power, decoding.nms_threshold)
    require_metrics(evaluated_maps(case.batch["durations_s"], maps, moments, case.meta, *settings), case.meta)


def require_metrics(scores: MapScores, meta: dict) -> None:
    """Assert that metrics and results file are those stored, up to float32 rounding of the means."""
    assert scores.official.keys() == meta["metrics"].keys()
    for name, value in meta["metrics"].items():
        np.testing.assert_allclose(scores.official[name], value, rtol=0, atol=1e-6, err_msg=name)
    assert list(scores.results) == list(meta["results_json"])
    for video_id, entry in meta["results_json"].items():
        assert scores.results[video_id]["pred_moments"] == entry["pred_moments"]


def check_gradients(case: MrnetCase) -> None:
    network = case.training_network()
    case.losses(network)["total"].backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == set(case.meta["no_grad_params"])
    expected = case.stored("gradnorm.")
    assert expected.keys() == {name for name, _ in network.named_parameters()} - without
    for name, parameter in network.named_parameters():
        if name in expected:
            compare(parameter.grad.norm().reshape(1), expected[name], f"gradient of {name}", GRADIENT_TOLERANCE)


def check_running_statistics(case: MrnetCase) -> None:
    network = case.training_network()
    with torch.no_grad():
        network(case.batch)
    state, expected = network.state_dict(), case.stored("train1.")
    assert expected
    for name, tensor in expected.items():
        compare(state[name], tensor, name, RUNNING_TOLERANCE)


def check_optimiser_steps(case: MrnetCase) -> None:
    network, system = case.training_network(), case.system
    optimiser = system.optimiser(system.parameter_groups(network))
    for step, row in enumerate(case.io["train.history"]):
        stored = dict(zip(case.meta["history_columns"], row, strict=True))
        terms = case.losses(network)
        late = case.losses(network, LATE_EPOCH)["total"] if step == 0 else None
        terms["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), case.config.train.clip_norm)
        tolerance = LOSS_TOLERANCE if step == 0 else STEP_TOLERANCE
        found = {
            "loss_vid_raw": "video",
            "loss_sent_raw": "sentence",
            "loss_iou": "overlap",
            "loss_sparse_raw": "density",
        }
        for theirs, ours in (found | {"total_early_epoch": "total"}).items():
            compare(terms[ours], stored[theirs], f"{theirs} of step {step}", tolerance)
        if late is not None:
            compare(late, stored["total_late_epoch"], "total_late_epoch", tolerance)
        compare(norm, stored["grad_norm_before_clip"], f"gradient of step {step}", {"atol": 0.0, "rtol": 1e-3})
        optimiser.step()
        optimiser.zero_grad()
    names = sorted(name for name, _ in network.named_parameters())
    parameters = dict(network.named_parameters())
    for name, expected in zip(names, case.io["train.param_norm_after3"], strict=True):
        # Gradients before a batch norm are rounding noise, which the optimiser makes steps of.
        if not (name.startswith("proposal_conv.convs.") and name.endswith("bias")):
            compare(parameters[name].norm(), expected, f"norm of {name}", {"atol": 1e-4, "rtol": 1e-4})


NETWORK_CHECKS = (
    check_state_dict,
    check_constants,
    check_intermediates,
    check_scores,
    check_spans,
    check_metrics,
    check_gradients,
    check_running_statistics,
    check_optimiser_steps,
)


class Units:
    """Cases of single parts."""

    def __init__(self, meta: dict, tensors: dict[str, Tensor]) -> None:
        self.meta, self.io = meta, tensors

    def numbered(self, prefix: str) -> list[Tensor]:
        """Return the stored tensors `prefix.0`, `prefix.1`, ..."""
        names = [name for name in self.io if name.startswith(f"{prefix}.")]
        return [self.io[f"{prefix}.{i}"] for i in range(len(names))]


def small_system(n_rows: int, n_clips: int, visual_dim: int, text_dim: int) -> System:
    """Return a system for its data path."""
    network = {"pre_clips": n_rows, "clips": n_clips, "pool_kernel": n_rows // n_clips, "pooling_counts": [n_clips - 1]}
    network |= {"dim": 16, "conv_dim": 4, "conv_layers": 1, "conv_kernel": 1}
    return System(Config.model_validate({"network": network}), {}, {"visual": [visual_dim], "text": [text_dim]})


def check_resampling(units: Units) -> None:
    names = [name for name in units.io if name.startswith("avgfeats.in.")]
    assert names
    for name in names:
        n_rows = int(name.rsplit("_p", 1)[1])
        rows = units.io[name].numpy()
        system = small_system(n_rows, 2 if n_rows % 2 == 0 else n_rows, rows.shape[1], 3)
        found = system._rows([FeatureRows(rows, np.zeros((len(rows), 2)))])
        expected = units.io[name.replace(".in.", ".out.")]
        compare(torch.from_numpy(found), expected, name, {"atol": 1e-6, "rtol": 0.0})


def check_iou_maps(units: Units) -> None:
    names = [name for name in units.io if name.startswith("iou2d.")]
    assert names
    for name in names:
        n, duration_s, start_s, end_s = units.meta[name]
        cells = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), axis=-1)
        moment = np.array(clamp_moment(start_s, end_s, duration_s), dtype=np.float32)
        found = hull_iou(cell_spans(cells, n, duration_s), moment)
        np.testing.assert_array_equal(found, units.io[name].numpy(), err_msg=name)


def check_query_pooling(units: Units) -> None:
    found = pool_tokens(units.io["query_pool.in"][0].numpy())
    compare(torch.from_numpy(found)[None], units.io["query_pool.out"], "query_pool", {"atol": 1e-6, "rtol": 1e-5})


def check_candidates(units: Units) -> None:
    masks = {int(name.removeprefix("mask2d.")): mask for name, mask in units.io.items() if name.startswith("mask2d.")}
    assert masks
    for n, mask in masks.items():
        # The published counts: 15 lengths of up to 16 clips, and 8 more for every doubling.
        cells = candidate_cells(n, (15, *[8] * (n // 16).bit_length())[: (n // 16).bit_length()])
        assert len(cells) == units.meta[f"mask2d_{n}_count"]
        assert np.array_equal(cells, np.argwhere(mask.numpy()))


def check_items(units: Units) -> None:
    """Annotations, features and query vectors become the network's inputs and targets."""
    datasets = sorted(key.split(".")[1] for key in units.meta if key.endswith(".annos"))
    assert datasets
    for dataset in datasets:
        for index, (video_id, entry) in enumerate(units.meta[f"item.{dataset}.annos"].items()):
            _check_item(units, dataset, index, video_id, entry)


def _check_item(units: Units, dataset: str, index: int, video_id: str, entry: dict) -> None:
    per_second = entry.get("fps", 1)
    duration_s = entry["duration"] if "duration" in entry else entry["num_frames"] / per_second
    raw = units.io[f"item.{dataset}.raw.{video_id}"].flatten(1).numpy()
    items = []
    for sentence, audio, span in zip(entry["sentences"], entry["audios"], entry["timestamps"], strict=True):
        vector = units.io[f"item.query.{audio.removesuffix('.wav')}"].numpy()
        streams = {
            "visual": [FeatureRows(raw, np.zeros((len(raw), 2)))],
            "text": [FeatureRows(vector, np.zeros((1, 2)))],
        }
        moments = np.array([span], dtype=np.float64) / per_second
        items.append(Item(sentence, video_id, sentence, duration_s, streams, Annotated(moments)))
    expected = {key: units.io[f"item.{dataset}.{key}.{index}"] for key in ("feat", "queries", "moments", "iou2d")}
    n_rows, n_clips = len(expected["feat"]), expected["iou2d"].shape[-1]
    system = small_system(n_rows, n_clips, raw.shape[1], expected["queries"].shape[1])
    sample = system.sample(items, random.Random(0))
    assert sample["query_ids"] == units.meta[f"item.{dataset}.sentences.{index}"]
    assert sample["duration_s"] == units.meta[f"item.{dataset}.duration.{index}"]
    compare(torch.from_numpy(sample["rows"]), expected["feat"], "feat", {"atol": 1e-6, "rtol": 0.0})
    np.testing.assert_array_equal(sample["queries"], expected["queries"].numpy())
    np.testing.assert_array_equal(sample["moments"], expected["moments"].numpy())
    first, last = system.cells.T
    np.testing.assert_array_equal(sample["iou"], expected["iou2d"][:, first, last].numpy())


def check_metric_protocol(units: Units) -> None:
    maps = [units.numbered(f"metric.{name}") for name in ("contrastive", "iou")]
    durations, moments = units.io["metric.durations"].tolist(), units.numbered("metric.moments")
    power, threshold = units.meta["pow"], units.meta["nms_thresh"]
    cells = np.argwhere(units.io["metric.mask2d"].numpy())
    first, last = cells.T
    at_cells = [[m[:, first, last] for m in part] for part in maps]
    settings = {"power": power, "threshold": threshold, "durations": durations, "n_clips": maps[0][0].shape[-1]}
    require_spans(kept_spans(at_cells, cells, **settings), units.io, "metric.")
    require_metrics(evaluated_maps(durations, maps, moments, units.meta, power, threshold), units.meta)


UNIT_CHECKS = (
    check_resampling,
    check_iou_maps,
    check_query_pooling,
    check_candidates,
    check_items,
    check_metric_protocol,
)
