"""MRNet as the training loop sees it, its parts against their plain definitions, and its checkpoints."""

import random
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.layers.nms import best_apart
from models.systems.interface import Annotated, FeatureRows, Item
from models.systems.mrnet import tiled_conv
from models.systems.mrnet.candidates import candidate_cells, cell_spans
from models.systems.mrnet.checkpoint import detect
from models.systems.mrnet.config import CLEAN, Config
from models.systems.mrnet.proposals import CandidateFeatures, count_weights
from models.systems.mrnet.system import System
from workflow_scripts.lib.metrics.ranked_spans import MMN, suppress
from workflow_scripts.lib.training.units import n_items, prepared

DIMS = {"visual": [6, 5], "text": [7]}
SMALL = {
    "dim": 16,
    "feature_dim": 12,
    "pre_clips": 16,
    "clips": 8,
    "pool_kernel": 2,
    "pooling_counts": [3, 2],
    "conv_kernel": 3,
    "conv_layers": 2,
    "conv_dim": 8,
}
RETENTION = {"layers": 2, "heads": 2, "ffn_dim": 16}
FORMS = [
    {},
    {"qkv": "shared"},
    {"attend": "video", "normalise": "zero"},
    {"attend": "video", "qkv": "shared", "normalise": "linear", "mask": "sparse"},
    {"attend": "plain", "mask": "none"},
    {"normalise": "linear", "qkv": "shared", "mask": "decay"},
    {"attend": "none", "mask": "none"},
    {"skip": True},
    {"layers": 0},
]
FULL = {
    "activitynet": (77_547_520, 90, {}, 500),
    "tacos": (
        18_438_912,
        65,
        {
            "pre_clips": 512,
            "clips": 128,
            "pooling_counts": [15, 8, 8, 8],
            "conv_kernel": 5,
            "conv_layers": 3,
            "retention": {"layers": 1, "qkv": "shared"},
        },
        500,
    ),
    "charades_shared": (
        118_330_368,
        112,
        {
            "pre_clips": 128,
            "pool_kernel": 2,
            "conv_kernel": 17,
            "conv_layers": 2,
            "retention": {"layers": 4, "qkv": "shared", "attend": "video"},
        },
        1024,
    ),
    "charades_per_modality": (
        119_113_728,
        None,
        {
            "pre_clips": 128,
            "pool_kernel": 2,
            "conv_kernel": 17,
            "conv_layers": 2,
            "retention": {"layers": 4, "attend": "video"},
        },
        1024,
    ),
}


def make_system(retention=None, **sections) -> System:
    network = SMALL | {"retention": RETENTION | (retention or {})} | sections.pop("network", {})
    return System(Config.model_validate({"network": network, **sections}), {}, DIMS)


def make_item(video: int, query: int, moment=(2.0, 5.0), n_rows: int = 25) -> Item:
    rng, own = np.random.default_rng(video), np.random.default_rng(100 * video + query + 1)

    def rows(source, n, dim):
        return FeatureRows(source.standard_normal((n, dim)).astype(np.float32), np.zeros((n, 2), np.float32))

    streams = {"visual": [rows(rng, n_rows, 6), rows(rng, 9, 5)], "text": [rows(own, 1, 7)]}
    moments = np.array([moment] if moment else []).reshape(-1, 2)
    return Item(f"q{video}.{query}", f"v{video}", "a sentence", 10.0 + video, streams, Annotated(moments))


def make_batch(system: System, counts=(3, 1, 2), training: bool = True) -> dict:
    rng = random.Random(0) if training else None
    videos = [[make_item(v, q, (2.0 * q, 2.0 * q + 3)) for q in range(n)] for v, n in enumerate(counts)]
    return system.collate([system.sample(items, rng) for items in videos])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"network": {"dims": 4}}, "dims"),
        ({"network": {"clips": 60}}, "pool_kernel"),
        ({"network": {"pooling_counts": [15, 8, 9]}}, "pooling_counts"),
        ({"network": {"conv_kernel": 4}}, "odd"),
        ({"network": {"retention": {"attend": "plain", "qkv": "shared"}}}, "per_modality"),
        ({"network": {"dim": 30}}, "multiple of heads"),
        ({"network": {"conv_path": "tiled", "proposals": "pool_c"}}, "conv_path tiled"),
        ({"network": {"proposals": "concat"}}, "proposals"),
    ],
)
def test_config_refuses_impossible_settings(broken, message):
    with pytest.raises(ValidationError, match=message):
        Config.model_validate(broken)


def test_every_setting_is_described():
    for section in Config.model_fields.values():
        assert all(field.description for field in section.annotation.model_fields.values())


def test_clean_leaves_the_order_of_the_annotations_out():
    """`published` reproduces it: the rank among the annotated starts reaches the network."""
    clean = CLEAN["data.query_context"]
    assert clean[0] == "independent"
    assert Config().data.query_context == "joint_gt_order"
    assert "joint_gt_order" not in clean


def test_config_is_importable_without_torch():
    code = "import sys; import models.systems.mrnet.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("form", FULL)
def test_full_size_networks_have_the_published_parameters_and_tell_their_settings(form):
    n_parameters, n_keys, network, visual_dim = FULL[form]
    system = System(Config.model_validate({"network": network}), {}, {"visual": [visual_dim], "text": [768]})
    with torch.device("meta"):
        built = system.network()
    state = built.state_dict()
    assert sum(parameter.numel() for parameter in built.parameters()) == n_parameters
    assert n_keys in (None, len(state))
    found = detect(state)
    assert found["retention.qkv"] == system.config.network.retention.qkv
    assert found["retention.layers"] == system.config.network.retention.layers
    assert found["clips"] == system.config.network.clips


def linear(prefix: str, n_out: int, n_in: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.weight": (n_out, n_in), f"{prefix}.bias": (n_out,)}


def norm(prefix: str, dim: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.weight": (dim,), f"{prefix}.bias": (dim,)}


def published_keys(form: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a published checkpoint, written out from the published code."""
    _, _, network, visual_dim = FULL[form]
    clips, kernel, convs = network.get("clips", 64), network.get("conv_kernel", 9), network.get("conv_layers", 4)
    layers, is_shared = network.get("retention", {}).get("layers", 2), "qkv" in network.get("retention", {})
    keys = {"featpool.conv.weight": (512, visual_dim, 1), "featpool.conv.bias": (512,)}
    keys |= linear("text_encoder.fc_out1", 256, 768) | linear("text_encoder.fc_out2", 256, 768)
    keys |= linear("text_out.fc_out1", 256, 256) | linear("text_out.fc_out2", 256, 256)
    keys |= norm("text_out.layernorm", 256) | norm("trans_ret.norm", 256)
    for i, width in enumerate((512, 256)):
        keys |= norm(f"input_vid_proj.{i}.LayerNorm", width) | linear(f"input_vid_proj.{i}.net.1", 256, width)
    for i in range(layers):
        ret = f"trans_ret.rets.{i}"
        if not is_shared:
            keys |= {f"{ret}.W_{modality}_{part}": (256, 256) for modality in ("vid", "txt") for part in "QKV"}
        for k in range(4 if is_shared else 1):
            keys |= linear(f"{ret}.self_attn.linears.{k}", 256, 256)
        keys |= {f"{ret}.xpos.scale": (128,), f"{ret}.learn_vid_ret.weight": (clips**2, 1)}
        keys |= linear(f"trans_ret.ffns.{i}.0", 1024, 256) | linear(f"trans_ret.ffns.{i}.2", 256, 1024)
        keys |= norm(f"trans_ret.layer_norms_1.{i}", 256) | norm(f"trans_ret.layer_norms_2.{i}", 256)
    for c in range(convs):
        keys |= {
            f"proposal_conv.convs.{c}.weight": (512, 512 if c else 256, kernel, kernel),
            f"proposal_conv.convs.{c}.bias": (512,),
            f"proposal_conv.bn.{c}.running_mean": (512,),
            f"proposal_conv.bn.{c}.running_var": (512,),
            f"proposal_conv.bn.{c}.num_batches_tracked": (),
        } | norm(f"proposal_conv.bn.{c}", 512)
    for head in ("iou", "contrastive"):
        keys |= {f"proposal_conv.conv1x1_{head}.weight": (256, 512, 1, 1), f"proposal_conv.conv1x1_{head}.bias": (256,)}
    return keys


@pytest.mark.parametrize("form", FULL)
def test_full_size_checkpoints_are_told_apart_and_imported_strictly(form):
    _, n_keys, network, visual_dim = FULL[form]
    keys = published_keys(form)
    assert n_keys in (None, len(keys))
    system = System(Config.model_validate({"network": network}), {}, {"visual": [visual_dim], "text": [768]})
    state = {f"module.{name}": torch.empty(shape, device="meta") for name, shape in keys.items()}
    imported = system.import_checkpoint({"model": state, "optimizer": {}, "scheduler": {}, "epoch": 14})
    assert {name: tuple(tensor.shape) for name, tensor in imported.items()} == keys
    for name in ("module.text_out.layernorm.bias", "module.proposal_conv.bn.0.num_batches_tracked"):
        with pytest.raises(ValueError, match=re.escape(name.removeprefix("module."))):
            system.import_checkpoint({key: tensor for key, tensor in state.items() if key != name})
    for other in FULL.keys() - {form}:
        with pytest.raises(ValueError, match="other settings"):
            system.import_checkpoint({n: torch.empty(s, device="meta") for n, s in published_keys(other).items()})


def test_checkpoints_are_imported_strictly():
    system = make_system()
    state = system.network().state_dict()
    file = {"model": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 14}
    imported = system.import_checkpoint(file)
    assert all(torch.equal(imported[name], tensor) for name, tensor in state.items())
    with pytest.raises(ValueError, match=r"set network\.retention\.qkv: shared"):
        system.import_checkpoint(make_system({"qkv": "shared"}).network().state_dict())
    with pytest.raises(ValueError, match=r"set network\.retention\.layers: 1"):
        system.import_checkpoint(make_system({"layers": 1}).network().state_dict())
    with pytest.raises(ValueError, match=r"missing \['text_out\.fc_out2\.bias'\], unknown \['extra'\]"):
        system.import_checkpoint({k: v for k, v in state.items() if k != "text_out.fc_out2.bias"} | {"extra": 1})
    without = {name: tensor for name, tensor in state.items() if "self_attn" not in name}
    with pytest.raises(ValueError, match="older forms of MRNet are not supported"):
        system.import_checkpoint(without)
    with pytest.raises(ValueError, match="not a checkpoint of MRNet"):
        system.import_checkpoint({"conv.weight": torch.zeros(1)})


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_finite_losses_and_spans_inside_the_video(form):
    torch.manual_seed(0)
    system = make_system(form)
    network, batch = system.network(), make_batch(system)
    terms = system.loss(network, batch, epoch=0)
    terms["total"].backward()
    assert all(torch.isfinite(term) and term.ndim == 0 for term in terms.values())
    with torch.inference_mode():
        found = system.predict(network.eval(), batch, None, "moments")
    assert {p.query_id for p in found} == {"q0.0", "q0.1", "q0.2", "q1.0", "q2.0", "q2.1"}
    durations = dict(zip(batch["video_ids"], batch["durations_s"], strict=True))
    for prediction in found:
        assert 0 <= prediction.start_s < prediction.end_s <= durations[prediction.video_id] + 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_scores_do_not_depend_on_the_other_videos_of_a_batch(form):
    torch.manual_seed(0)
    system = make_system(form)
    network = system.network().eval()
    with torch.inference_mode():
        together = network(make_batch(system, (3, 1, 2), training=False))["contrastive"]
        alone = network(make_batch(system, (3,), training=False))["contrastive"]
    torch.testing.assert_close(together[:3], alone, atol=1e-5, rtol=0)


def test_queries_see_one_another_as_the_setting_says():
    items = [make_item(0, q, (start, 9.0)) for q, start in enumerate((5.0, 1.0, 3.0, 1.0))]
    by_context = {
        context: make_system(data={"query_context": context})
        for context in ("joint_gt_order", "joint_shuffled", "independent")
    }
    joint, shuffled, independent = by_context.values()
    assert joint.sample(items, None)["query_ids"] == ["q0.1", "q0.3", "q0.2", "q0.0"]
    order = shuffled.sample(items, None)["query_ids"]
    assert order == shuffled.sample(items[::-1], None)["query_ids"]
    mixed = [items[0], make_item(1, 0), *items[1:]]
    assert [item.id for item in independent.units(mixed)] == [item.id for item in mixed]
    joined = [[item.id for item in unit] for unit in joint.units(mixed)]
    assert joined == [["q0.0", "q0.1", "q0.2", "q0.3"], ["q1.0"]]
    unlabelled = make_item(0, 0, moment=None)
    assert [s.skip_reason(unlabelled, training=False) for s in by_context.values()] == ["no_moment", None, None]


def test_independent_queries_are_not_changed_by_their_neighbours():
    torch.manual_seed(0)
    system = make_system(data={"query_context": "independent"})
    network = system.network().eval()
    items = [make_item(0, q) for q in range(3)]
    with torch.inference_mode():
        all_three = network(system.collate([system.sample(item, None) for item in items]))["contrastive"]
        one = network(system.collate([system.sample(items[1], None)]))["contrastive"]
    torch.testing.assert_close(all_three[1:2], one, atol=1e-5, rtol=0)


def test_maps_of_one_video_are_no_negatives_of_one_another():
    torch.manual_seed(0)
    system = make_system(data={"query_context": "independent"})
    network = system.network().eval()
    samples = [system.sample(make_item(0, q), random.Random(0)) for q in range(2)]
    batch = system.collate(samples)
    assert batch["map_video"].tolist() == [0, 0]
    both = system.loss(network, batch, 0)["sentence"]
    single = [system.loss(network, system.collate([sample]), 0)["sentence"] for sample in samples]
    torch.testing.assert_close(both, sum(single) / 2)


def test_items_that_cannot_be_used_are_named():
    system = make_system(data={"drop_degenerate": True})
    broken = make_item(0, 0)
    broken.streams["visual"][0].values[3, 2] = np.nan
    assert system.skip_reason(broken, training=False) == "not_finite_visual"
    assert system.skip_reason(make_item(0, 0, n_rows=0), training=False) == "no_visual"
    assert system.skip_reason(make_item(0, 0, (4.0, 4.0)), training=True) == "degenerate_moment"
    assert system.skip_reason(make_item(0, 0, (4.0, 4.0)), training=False) is None
    with pytest.raises(ValueError, match=r"query q0\.0 on video v0 cannot be used: not_finite_visual"):
        system.sample(broken, None)
    with pytest.raises(ValueError, match="exactly one text feature"):
        System(system.config, {}, {"visual": [6]})


def test_a_video_of_one_row_and_a_batch_of_one_video_train():
    system = make_system()
    batch = system.collate([system.sample([make_item(0, 0, n_rows=1)], random.Random(0))])
    assert torch.isfinite(system.loss(system.network(), batch, 0)["total"])


def test_a_query_of_any_number_of_words_is_one_vector():
    """There is no limit but that of the text encoder: rows of words are normalised and averaged."""
    long, system = make_item(0, 0), make_system()
    words = np.random.default_rng(0).standard_normal((2000, 7)).astype(np.float32)
    long.streams["text"][0] = FeatureRows(words, np.zeros((2000, 2), np.float32))
    vector = system.sample([long], None)["queries"]
    normed = (words - words.mean(axis=1, keepdims=True)) / np.sqrt(words.var(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(vector, normed.mean(axis=0)[None], atol=1e-5)
    long.streams["text"][0] = FeatureRows(words[:0], np.zeros((0, 2), np.float32))
    assert system.skip_reason(long, training=False) == "no_text"
    long.streams["text"][0] = FeatureRows(np.full((3, 7), np.inf, np.float32), np.zeros((3, 2), np.float32))
    assert system.skip_reason(long, training=False) == "not_finite_text"


def test_items_are_prepared_one_by_one():
    items = [make_item(0, 0), make_item(0, 1)]
    assert prepared(items[0], lambda item: item.id) == "q0.0"
    assert prepared(items, lambda item: item.id) == ["q0.0", "q0.1"]
    assert prepared(("steps", items[1], 3), lambda item: item.id) == ("steps", "q0.1", 3)
    assert [n_items(unit) for unit in (items[0], items, ("steps", items[1], 3))] == [1, 2, 1]


def test_the_rate_falls_after_each_milestone():
    system = make_system(train={"epochs": 4, "milestones": [1, 3], "learning_rate": 1.0})
    optimiser = system.optimiser(system.parameter_groups(system.network()))
    schedule, rates = system.schedule(optimiser, 8), []
    for _ in range(8):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_training_on_a_few_videos_lowers_the_loss():
    torch.manual_seed(0)
    # Without the density, which falls slowly and is most of the sum.
    given = {"loss": {"sparse_weight": 0.0}, "train": {"learning_rate": 3e-3}}
    system = make_system({"dropout": 0.0}, network={"input_dropout": 0.0}, **given)
    network, batch, losses = system.network(), make_batch(system), []
    optimiser = system.optimiser(system.parameter_groups(network))
    for _ in range(60):
        total = system.loss(network, batch, epoch=0)["total"]
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(("n_clips", "counts"), [(8, (7,)), (8, (3, 2)), (16, (3, 2, 2)), (64, (15, 8, 8))])
def test_candidates_are_pooled_over_their_clips(n_clips, counts):
    config = Config.model_validate(
        {"network": {"clips": n_clips, "pre_clips": n_clips, "pool_kernel": 1, "pooling_counts": counts}}
    ).network
    clips = torch.randn(2, n_clips, 3)
    pooled = CandidateFeatures(config)(clips)
    cells = candidate_cells(n_clips, counts)
    assert pooled.shape[1] == len(cells)
    for k, (first, last) in enumerate(cells):
        assert torch.equal(pooled[:, k], clips[:, first : last + 1].amax(dim=1))


def plain_map(features: CandidateFeatures, clips: torch.Tensor, n_clips: int, counts: tuple[int, ...]) -> torch.Tensor:
    """Return the map (B, dim, N, N) of all cells as the published code fills it, group by group."""
    form, source = features.form, clips.transpose(1, 2)
    width = clips.shape[2] * (3 if form.endswith("_c") else 1)
    found = torch.zeros(len(clips), width, n_clips, n_clips)
    x, offset, step = source, 0, 0
    for i in range(n_clips):
        found[:, :, i, i] = source[:, :, i].repeat(1, width // clips.shape[2])
    for group, count in enumerate(counts):
        stride = 2**group
        for k in range(count):
            offset, size = offset + stride, 3 if group and not k else 2
            if form.startswith("conv"):
                x = features.convs[step](x)
            else:
                x = torch.nn.functional.max_pool1d(x, size, size - 1)
            step += 1
            for place, i in enumerate(range(0, n_clips - offset, stride)):
                content, first, last = x[:, :, place], source[:, :, i], source[:, :, i + offset]
                found[:, :, i, i + offset] = {
                    "pool": content,
                    "conv": content,
                    "pool_b": content + first + last,
                    "conv_b": first + last,
                }.get(form, torch.cat((first, content, last), dim=1)[:, :width])
    return features.vis_conv(found) if form.endswith("_c") else found


PROPOSALS = ["pool", "conv", "pool_b", "conv_b", "pool_c", "conv_c"]


@pytest.mark.parametrize("form", PROPOSALS)
def test_every_form_of_candidates_fills_the_map_of_the_plain_loop(form):
    network = make_system(network={"proposals": form, "clips": 16, "pool_kernel": 1, "pooling_counts": [3, 2, 2]})
    network = network.network()
    clips = torch.randn(2, 16, SMALL["dim"])
    found = network.proposal_conv.first_map(network.feat2d(clips), network.feat2d.background)
    torch.testing.assert_close(found, plain_map(network.feat2d, clips, 16, (3, 2, 2)))


@pytest.mark.parametrize("form", PROPOSALS)
def test_every_form_of_candidates_trains_but_the_convolution_that_is_thrown_away(form):
    system = make_system(network={"proposals": form})
    network = system.network()
    system.loss(network, make_batch(system), epoch=0)["total"].backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if name.startswith("feat2d.")}
    assert len(gradients) == 10 * form.startswith("conv") + 2 * form.endswith("_c")
    if form == "conv_b":
        assert all(gradient is None for gradient in gradients.values())
    else:
        assert all(gradient.norm() > 0 for name, gradient in gradients.items() if name.endswith("weight"))


@pytest.mark.parametrize("form", ["pool_c", "conv_c"])
def test_a_checkpoint_with_a_projection_of_candidates_says_so(form):
    state = make_system(network={"proposals": form}).network().state_dict()
    with pytest.raises(ValueError, match=f"network.proposals: {form}"):
        make_system().import_checkpoint(state)
    assert make_system(network={"proposals": form}).import_checkpoint(state).keys() == state.keys()


def test_weights_count_the_filled_cells_under_the_kernel():
    mask = np.triu(np.ones((6, 6), dtype=bool))
    filled = torch.from_numpy(mask.astype(np.float32))[None, None]
    for weight, padding in zip(count_weights(mask, 3, [2, 0]), (2, 0), strict=True):
        count = torch.nn.functional.conv2d(filled, torch.ones(1, 1, 3, 3), padding=padding).round()
        np.testing.assert_allclose(weight, torch.where(count > 0, 1 / count, 0.0)[0, 0].numpy())
        filled = (count > 0).float()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.4, 0.5]),
    st.floats(1, 300),
    st.sampled_from([(16, (15,)), (16, (3, 2, 2)), (64, (15, 8, 8))]),
)
def test_early_stopping_keeps_the_first_spans_of_the_plain_suppression(seed, threshold, duration_s, grid):
    """On dense and sparse maps, where many pairs overlap by the threshold exactly and rounding decides."""
    cells = candidate_cells(*grid)
    spans = cell_spans(cells, grid[0], duration_s)
    order = np.random.default_rng(seed).permutation(len(cells))
    kept = suppress(spans[order][None], np.ones((1, len(cells)), dtype=bool), threshold, MMN)
    plain = order[kept.index[0][kept.index[0] >= 0]].tolist()
    assert best_apart(order, spans, threshold, 5) == plain
    assert len(best_apart(order, spans, threshold, None)) == kept.counts[0]
    assert best_apart(order, spans, threshold, None)[:5] == plain


def test_equal_empty_spans_are_kept_once():
    spans = np.float32([[1, 1], [1, 1], [2, 3]])
    assert best_apart(np.arange(3), spans, 0.5, None) == [0, 2]


@pytest.mark.parametrize("kernel", [1, 3, 5, 9, 17])
@pytest.mark.parametrize("chunk_bytes", [1, tiled_conv._CHUNK_BYTES])
def test_tiles_in_the_frequency_domain_give_the_plain_convolution(kernel, chunk_bytes, monkeypatch):
    """Without rounding to speak of: in float64, forwards and backwards, at cells strewn at random."""
    monkeypatch.setattr(tiled_conv, "_CHUNK_BYTES", chunk_bytes)
    generator = torch.Generator().manual_seed(kernel)
    padding, side = kernel // 2 + 1, 37
    given = torch.rand(side, side, generator=generator) < 0.3
    wanted = torch.rand(side + 2 * padding - kernel + 1, side + 2 * padding - kernel + 1, generator=generator) < 0.3
    weight = torch.randn(3, 2, kernel, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    cells = torch.randn(int(given.sum()), 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    tiling = tiled_conv.lay_tiles(given.numpy(), wanted.numpy(), kernel, padding)
    found = tiled_conv.TiledConv.apply(cells, weight, tiling)
    whole = torch.zeros(2, 2, side, side, dtype=torch.float64)
    whole[:, :, given] = cells.permute(1, 2, 0)
    plain = torch.nn.functional.conv2d(whole, weight, padding=padding)[..., wanted].permute(2, 0, 1)
    torch.testing.assert_close(found, plain)
    outer = torch.randn(plain.shape, generator=generator, dtype=torch.float64)
    for one, other in zip(*(torch.autograd.grad(y, (cells, weight), outer) for y in (found, plain)), strict=True):
        torch.testing.assert_close(one, other)


PUBLISHED_MAPS = [
    {"pre_clips": 64, "pool_kernel": 1, "clips": 64, "pooling_counts": [15, 8, 8], "conv_kernel": 9, "conv_layers": 4},
    {"pre_clips": 64, "pool_kernel": 1, "clips": 64, "pooling_counts": [15, 8, 8], "conv_kernel": 17},
    {"pre_clips": 128, "pool_kernel": 1, "clips": 128, "pooling_counts": [15, 8, 8, 8], "conv_kernel": 5},
]
OTHER_MAPS = [{}, {"pooling_counts": [7]}, {"conv_kernel": 5, "conv_layers": 3}, {"conv_layers": 1}]


@pytest.mark.parametrize("sizes", OTHER_MAPS + PUBLISHED_MAPS)
@pytest.mark.parametrize("training", [True, False])
def test_the_tiled_convolution_equals_the_dense_one(sizes, training):
    """In float64: the gradient of a bias before a batch norm is zero, of which float32 leaves noise."""
    torch.manual_seed(0)
    both = [make_system(network={**sizes, "conv_path": path}).network().proposal_conv for path in ("dense", "tiled")]
    both = [conv.double() for conv in both]
    with torch.no_grad():
        for norm in both[0].bn:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            norm.weight.normal_()
            norm.bias.normal_()
    both[1].load_state_dict(both[0].state_dict())
    outputs, gradients = [], []
    candidates = torch.randn(3, len(both[0].first), SMALL["dim"], dtype=torch.float64)
    for conv in both:
        given = candidates.clone().requires_grad_()
        found = conv.train(training)(given)
        sum((part * torch.linspace(-1, 1, part.numel()).view_as(part)).sum() for part in found).backward()
        outputs.append(found)
        gradients.append({name: p.grad for name, p in conv.named_parameters()} | {"candidates": given.grad})
    for dense, tiled in zip(*outputs, strict=True):
        torch.testing.assert_close(tiled, dense, atol=1e-9, rtol=1e-9)
    for name, dense in gradients[0].items():
        torch.testing.assert_close(
            gradients[1][name], dense, atol=1e-8, rtol=1e-8, msg=lambda t, name=name: f"{name}: {t}"
        )
    for name, dense in both[0].state_dict().items():
        torch.testing.assert_close(both[1].state_dict()[name], dense, atol=1e-10, rtol=1e-10)
