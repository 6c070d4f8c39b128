"""CALCE trains in fp16 outside and bf16 inside, and answers in float32 outside, as its published code does."""

import random

import pytest
import torch
from torch import nn

from models.systems.calce.system import System
from tests.markdown_pages import ROOT
from tests.unit.made_calce import made_config, made_item
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.training.processes import require_gpu_for

FP32, FP16, BF16 = torch.float32, torch.float16, torch.bfloat16
WIDTH = 3 * 28**2
BOTH = [("calce_stage1", "qvh"), ("calce", "qvh"), ("calce_stage1", "charades"), ("calce", "charades")]


def made_system(precision: str = "bf16") -> tuple[System, nn.Module]:
    # The published tower is fp16; bf16 tells it from what is around it.
    config = made_config(network={"rows": "frames", "vision_precision": "bf16", "precision": precision})
    system = System(config, {}, {"visual": [WIDTH]})
    torch.manual_seed(0)
    return system, system.network()


def batch_of(system: System, is_training: bool = True) -> dict:
    items = [made_item(number, width=WIDTH) for number in (1, 2)]
    return system.collate([system.sample(item, random.Random(0) if is_training else None) for item in items])


def formats_of(network: nn.Module, run) -> dict[str, set[torch.dtype]]:
    """Return in which formats the linear maps and `ln_vision` of every part gave their results."""
    seen: dict[str, set[torch.dtype]] = {}

    def watch(name: str):
        return lambda module, given, found: seen.setdefault(name, set()).add(found.dtype)

    hooks = [
        module.register_forward_hook(watch(".".join(name.split(".")[: 2 if name.startswith("t5_model") else 1])))
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) or name == "ln_vision"
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


INSIDE = {"t5_model.encoder": {BF16}, "t5_model.decoder": {BF16}, "t5_model.lm_head": {BF16}}
TOWER = {"visual_encoder": {BF16}, "ln_vision": {FP32}}


def test_a_training_is_fp16_outside_and_bf16_inside_and_its_gradients_are_float32():
    system, network = made_system()
    batch, losses = batch_of(system), []

    def step() -> None:
        with torch.autocast("cpu", FP16):
            losses.append(system.loss(network.train(), batch, 0)["total"])

    # The Q-Former's words are the text branch.
    outside = {"qformer": {FP16, BF16}, "query_proj": {FP16}, "t5_proj": {FP16}}
    assert formats_of(network, step) == INSIDE | TOWER | outside
    assert losses[0].dtype == FP32
    losses[0].backward()
    learning = [p for p in network.parameters() if p.requires_grad]
    assert learning
    assert all(p.dtype == FP32 and p.grad.dtype == FP32 for p in learning)


def test_what_is_seen_is_fp16_and_what_is_read_is_bf16_in_the_qformer():
    _, network = made_system()
    ids = torch.ones(1, 4, dtype=torch.int64)
    with torch.autocast("cpu", FP16):
        seen = formats_of(network, lambda: network.ask(torch.randn(2, 5, 24)))
        read = formats_of(network, lambda: network.sentence_vectors(ids, ids.bool()))
    assert (seen, read) == ({"qformer": {FP16}}, {"qformer": {BF16}})


def test_answers_are_float32_outside():
    system, network = made_system()
    batch = batch_of(system, is_training=False)

    def ask() -> None:
        with torch.inference_mode():
            system.predict(network.eval(), batch, None, "moments")

    assert formats_of(network, ask) == INSIDE | TOWER | {
        "qformer": {FP32, BF16},
        "query_proj": {FP32},
        "t5_proj": {FP32},
    }


def test_reduced_formats_change_the_loss_by_little():
    losses = []
    for precision, outside in (("fp32", None), ("bf16", FP16)):
        system, network = made_system(precision)
        batch = batch_of(system)
        with torch.autocast("cpu", outside or FP16, enabled=outside is not None), torch.no_grad():
            losses.append(system.loss(network.eval(), batch, 0)["total"].item())
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert losses[1] != losses[0]


@pytest.mark.parametrize(("name", "dataset"), BOTH)
def test_the_published_protocol_says_what_the_published_code_does(name, dataset):
    system = Configuration({}, ROOT / "config").system(dataset, name)
    assert (system.protocol, system.precision, system.settings["network"]["precision"]) == ("published", "fp16", "bf16")
    assert system.settings["data"]["crop_answers"] is True
    assert system.selection.ties == "first"
    # Both score windows as annotated; `queries.moments` rounds what is taught.
    assert system.selection.rules is None
    assert [RULE_SETS[rules].view for rules in system.evaluation.rules] == ["raw"]


def test_fp16_is_refused_without_a_gpu():
    with pytest.raises(UserError, match="needs a GPU"):
        require_gpu_for("fp16", "cpu")
    require_gpu_for("fp16", "cuda")
    require_gpu_for("bf16", "cpu")
    assert Configuration({}, ROOT / "config").system("demo", "calce").precision == "no"
