"""Cases of QUAG and of the HiREST baseline: `config.json` with weights, batches and outputs of one or both networks.

`state_dict_shapes_<form>.json` lists the tensors at the published size. What the batches are made of lies beside them,
see `quag_items_cases`; every size and option comes from `config.json`.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.systems.quag import optimisation, predicting
from models.systems.quag.checkpoint import trained_state
from models.systems.quag.config import NetworkConfig
from models.systems.quag.losses import loss_terms
from models.systems.quag.network import MomentNetwork
from models.systems.quag.packing import Runs
from tests.parity.harness import Check
from tests.parity.quag_items_cases import TASKS, CaseData, close

FORMS = ("quag", "hirest")
RESULTS = ("state.safetensors", "outputs.safetensors", "grad_norms.json")
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
    """Return whether the folder has a network's results, or the list of its tensors."""
    return any((folder / name).is_file() for form in FORMS for name in (f"{form}_state.safetensors", shapes_file(form)))


def checks(folder: Path) -> list[Check]:
    """Return the checks of both networks, as far as they are there."""
    found = []
    for form in FORMS:
        path = folder / shapes_file(form)
        if path.is_file():
            found.append(Check(f"full-size-{form}", partial(check_full_size, path, form)))
        if (folder / f"{form}_state.safetensors").is_file():
            case = NetworkCase(CaseData(folder), form)
            found += [Check(f"{form}-{name}", partial(_run, check)) for name, check in case.checks().items()]
    return found


def _run(check: Callable[[], None], data_path: Path | None) -> None:
    check()


def check_full_size(path: Path, form: str, data_path: Path | None) -> None:
    """Names, shapes and number of parameters of the published size; no memory is taken for it."""
    listed = json.loads(path.read_text())
    with torch.device("meta"):
        network = MomentNetwork(NetworkConfig(form=form), 1024, 1024, 384)
    assert {name: list(tensor.shape) for name, tensor in network.state_dict().items()} == listed["tensors"]
    assert sum(p.numel() for p in network.parameters()) == listed["trainable_parameters_unique"]


class NetworkCase:
    """One network of a folder; everything is computed on first use."""

    def __init__(self, data: CaseData, form: str) -> None:
        self.data, self.form = data, form
        self.state = load_file(data.folder / f"{form}_state.safetensors")
        self.outputs = load_file(data.folder / f"{form}_outputs.safetensors")
        self.decoded = data.json("decoded.json")[form]
        self.gradients = data.json(f"{form}_grad_norms.json")
        self.settings = data.settings(form)
        self.trained = sorted(name.split(".")[0] for name in self.outputs if name.endswith(".loss_total"))

    def build(self) -> MomentNetwork:
        """Return a network in evaluation mode with the case's weights."""
        c = self.data.config
        network = MomentNetwork(self.settings.network, c["C"], c["C"], c["asr"])
        network.load_state_dict(trained_state(network, self.settings.network, self.state), strict=True)
        return network.eval()

    def checks(self) -> dict[str, Callable[[], None]]:
        """Return the checks by name: of every batch that was trained with, and of the whole network."""
        found = {check.__name__.removeprefix("check_"): partial(check, self) for check in ALL}
        for name in self.trained:
            found[f"{name}-outputs"] = partial(check_outputs, self, name)
            found[f"{name}-gradients"] = partial(check_gradients, self, name)
        return found

    def stored(self, batch: str, prefix: str = "") -> dict[str, Tensor]:
        """Return the stored outputs of a batch by the rest of their names."""
        start = f"{batch}.{prefix}"
        return {name.removeprefix(start): tensor for name, tensor in self.outputs.items() if name.startswith(start)}


def check_state(case: NetworkCase) -> None:
    """The published names and shapes, and nothing is lost on the way."""
    state = case.build().state_dict()
    assert {name: tuple(t.shape) for name, t in state.items()} == {n: tuple(t.shape) for n, t in case.state.items()}
    assert all(torch.equal(tensor, case.state[name]) for name, tensor in state.items())


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


ALL = (check_state, check_moments, check_steps, check_captions, check_optimiser_steps)
