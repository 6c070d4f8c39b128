"""Published checkpoints: the full list of IMG's names, and files brought into our own form and used."""

import base64
import json
import math
import pickle

import numpy as np
import pytest
import torch

from models.systems.img.config import Config
from models.systems.img.network import ImgNetwork
from tests.unit.made_results import make_results
from tests.unit.test_prediction import predict, run
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training.checkpoint import build_system, read_checkpoint
from workflow_scripts.lib.training.published_checkpoints import read_published

D = 128


def linear(prefix, in_dim, out_dim=D, conv=True):
    """A linear map, its weight that of a width-1 convolution."""
    prefix = f"{prefix}.conv1d" if conv else prefix
    return {f"{prefix}.weight": (out_dim, in_dim, 1) if conv else (out_dim, in_dim), f"{prefix}.bias": (out_dim,)}


def norms(prefix, *names):
    return {f"{prefix}.{name}.{part}": (D,) for name in names for part in ("weight", "bias")}


def attention(prefix, n_norms):
    maps = [linear(f"{prefix}.{name}", D) for name in ("query", "key", "value", "out_layer")]
    return merge(*maps, norms(prefix, *(f"layer_norm{i + 1}" for i in range(n_norms))))


def conv_block(prefix, n):
    found = norms(f"{prefix}.conv_block", *(f"layer_norms.{i}" for i in range(n)))
    for i in range(n):
        at = f"{prefix}.conv_block.depthwise_separable_conv.{i}"
        found |= {f"{at}.0.weight": (D, 1, 7), f"{at}.1.weight": (D, D, 1), f"{at}.1.bias": (D,)}
    return found


def gru(prefix, in_dim, hidden, layers):
    found = {}
    for layer in range(layers):
        for end in ("", "_reverse"):
            width = in_dim if layer == 0 else 2 * hidden
            found |= {f"{prefix}.weight_ih_l{layer}{end}": (3 * hidden, width)}
            found |= {f"{prefix}.weight_hh_l{layer}{end}": (3 * hidden, hidden)}
            found |= {f"{prefix}.bias_{kind}_l{layer}{end}": (3 * hidden,) for kind in ("ih", "hh")}
    return found


def merge(*parts):
    return {name: shape for part in parts for name, shape in part.items()}


def slots(prefix):
    maps = [linear(f"{prefix}.{name}", D) for name in ("to_q", "to_k", "to_v", "mlp.0", "mlp.2")]
    cell = {f"{prefix}.gru.weight_{kind}": (3 * D, D) for kind in ("ih", "hh")}
    cell |= {f"{prefix}.gru.bias_{kind}": (3 * D,) for kind in ("ih", "hh")}
    starts = {f"{prefix}.{name}": (1, 1, D) for name in ("slots_mu", "slots_logsigma")}
    return merge(*maps, cell, starts, norms(prefix, "norm_input", "norm_slots", "norm_pre_ff"))


def query_encoder(side, sizes):
    if "text" in sizes:
        return linear(f"text_affine{side}.linear", sizes["text"])
    at = f"word_embedding{side}"
    found = {f"{at}.word_emb.{name}": (1, 300) for name in ("pad_vec", "unk_vec")}
    found |= {f"{at}.word_emb.glove_vec": (sizes["words"], 300)}
    found |= {f"{at}.char_emb.char_emb.weight": (sizes["chars"], 50)}
    for i, channels in enumerate((10, 20, 30, 40)):
        conv = f"{at}.char_emb.char_convs.{i}.0"
        found |= {f"{conv}.weight": (channels, 50, 1, i + 1), f"{conv}.bias": (channels,)}
    return found | linear(f"{at}.linear", 400)


def published_names(sizes):
    """Return name -> shape of a published state dict, as the authors' network lists them."""
    steps = sizes["steps"]
    found = merge(linear("video_affine.linear", sizes["visual"]), linear("audio_affine.linear", sizes["audio"]))
    for side in "va":
        found |= query_encoder(side, sizes) | {f"feature_encoder{side}.pe.pe": (steps, 1, D)}
        found |= conv_block(f"feature_encoder{side}", 2) | attention(f"feature_encoder{side}.attention_block", 2)
        found |= attention(f"transformer{side}", 2) | attention(f"cross_transformer{side}", 3)
        found |= {f"cq_attention{side}.w4C": (D, 1), f"cq_attention{side}.w4Q": (D, 1)}
        found |= {f"cq_attention{side}.w4mlu": (1, 1, D)} | linear(f"cq_attention{side}.cqa_linear", 4 * D)
        found |= {f"cq_concat{side}.weighted_pool.weight": (D, 1)} | linear(f"cq_concat{side}.conv1d", 2 * D)
        for width in (1, 3, 5):
            at = f"local_audio_fusion.conv_block{side}.{width // 2}"
            found |= {f"{at}.weight": (D, 1, width), f"{at}.bias": (D,)}
        found |= linear(f"local_audio_fusion.downsample{side}.conv", 3 * D)
        found |= slots(f"event_audio_fusion.slot_attention{side}")
        found |= attention(f"event_audio_fusion.cross_transformer_{side}", 3)
        found |= linear(f"global_audio_fusion.downsample{side}.conv", 2 * D)
        found |= {f"PPmodule.weighted_pool{side}.weight": (D, 1)}
    found |= {f"global_audio_fusion.global_{name}.weight": (D, 1) for name in ("audio", "video")}
    found |= {"PPmodule.pred_proj.weight": (1, 2 * D), "PPmodule.pred_proj.bias": (1,)}
    for fusion in ("local", "event", "global"):
        found |= norms(f"{fusion}_audio_fusion.fusion", "layer_norm1", "layer_norm2")
    for i in (1, 2, 3):
        found |= gru(f"down_sample.rnn{i}", 2 * D, D // 2, 3)
    found |= gru("down_sample.rnn123", 3 * D, D, 1) | linear("down_sample.fusion.conv", 2 * D)
    for branch in ("av", "v", "a"):
        at = f"predictor_{branch}"
        found |= {f"{at}.encoder.pos_embedding.position_embeddings.weight": (steps, D)}
        found |= conv_block(f"{at}.encoder", 4) | attention(f"{at}.encoder.attention_block", 2)
        found |= norms(at, "start_layer_norm", "end_layer_norm") | linear(f"saliency_proj_{branch}", D, 1, conv=False)
        for end in ("start", "end"):
            found |= linear(f"{at}.{end}_block.0", 2 * D) | linear(f"{at}.{end}_block.2", D, 1)
    return found


SETTINGS = {
    "charades": {"visual": 1024, "audio": 2048, "words": 1180, "chars": 36, "steps": 128},
    "activitynet": {"visual": 1024, "audio": 128, "words": 12000, "chars": 55, "steps": 128},
    "charades, CLIP": {"visual": 2816, "audio": 2048, "text": 512, "steps": 128},
    "charades, InternVideo2": {"visual": 768, "audio": 2048, "text": 4096, "steps": 64},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_names_and_shapes_are_those_of_every_published_setting(setting):
    sizes = SETTINGS[setting]
    query = {"kind": "tokens" if "text" in sizes else "glove"}
    config = Config.model_validate({"network": {"max_steps": sizes["steps"], "query": query}})
    vocabulary = (sizes.get("words", 0), sizes.get("chars", 2) - 2)
    with torch.device("meta"):
        network = ImgNetwork(config.network, sizes["visual"], sizes["audio"], sizes.get("text", 0), vocabulary)
    ours = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert ours == published_names(sizes)
    n_trained = sum(math.prod(parameter.shape) for parameter in network.parameters()) / 1e6
    wanted = {"charades": 3.77, "activitynet": 3.53, "charades, CLIP": 4.00, "charades, InternVideo2": 4.63}
    assert n_trained == pytest.approx(wanted[setting], abs=0.02)


VECTORS = "a 1 2 3\nbell 4 5 6\nrings 7 8 9\n"


@pytest.fixture(params=["tokens", "glove"])
def published(request, tmp_path):
    """Settings of a made dataset without standardised streams, and a checkpoint as its authors would save it."""
    query = {"kind": request.param}
    if request.param == "glove":
        (tmp_path / "vectors.txt").write_text(VECTORS)
        query |= {"word_vectors": str(tmp_path / "vectors.txt"), "word_dim": 3, "char_dim": 4}
    changes = {
        "config__streams__visual__standardise": False,
        "config__settings__network__query": query,
        "config__evaluation__zero_streams": ["audio"],
    }
    settings = make_results(tmp_path / "made", **changes)
    content = json.loads(settings.read_text())
    fitted = {}
    if request.param == "glove":
        table = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], "<f4").tobytes()
        fitted = {"words": ["a", "bell", "rings"], "chars": sorted(set("abellrings"))}
        fitted["word_vectors"] = base64.b64encode(table).decode()
    dims = {"visual": [6], "audio": [4], "text": [5]}
    torch.manual_seed(1)
    system = build_system("img", content["config"]["settings"], fitted, dims)
    path = tmp_path / "IMG_9.t7"
    torch.save(system.network().state_dict(), path)
    return settings, path


def bring_in(monkeypatch, settings, file, out, key="k"):
    run(monkeypatch, "import_checkpoint", "--settings", settings, "--key", key, "--file", file, "--out", out)
    return read_checkpoint(out)


def test_a_published_checkpoint_is_imported_and_answers(published, tmp_path, monkeypatch):
    settings, file = published
    trained = bring_in(monkeypatch, settings, file, tmp_path / "checkpoint.safetensors")
    given = torch.load(file, weights_only=True)
    assert trained.state.keys() == given.keys()
    assert all(torch.equal(trained.state[name], tensor) for name, tensor in given.items())
    assert trained.notes["imported"]["file"] == "IMG_9.t7"
    rows = predict(monkeypatch, settings, tmp_path / "checkpoint.safetensors", tmp_path / "test")
    assert len(rows) == 6
    summary = json.loads((tmp_path / "test" / "predict.json").read_text())
    assert summary["checkpoint"]["imported"]["sha256"] == trained.notes["imported"]["sha256"]


def test_a_checkpoint_of_another_network_is_refused_by_name(published, tmp_path, monkeypatch):
    settings, file = published
    state = torch.load(file, weights_only=True)
    state["predictor_w.weight"] = state.pop("saliency_proj_av.weight")
    torch.save(state, file)
    with pytest.raises(UserError, match=r"IMG_9\.t7: not a checkpoint .* missing \['saliency_proj_av\.weight'\]"):
        bring_in(monkeypatch, settings, file, tmp_path / "checkpoint.safetensors")
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_settings_that_changed_since_the_plan_stop_the_import(published, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="changed since this job was planned"):
        bring_in(monkeypatch, *published, tmp_path / "checkpoint.safetensors", key="other")


def test_files_that_are_no_checkpoints_are_named(tmp_path):
    path = tmp_path / "a.t7"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"a\.t7: "):
        read_published(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(UserError, match="expected a state dict, found list"):
        read_published(path)
    path.with_suffix(".safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        read_published(path.with_suffix(".safetensors"))
    path.write_bytes(pickle.dumps({"a": object()}))
    with pytest.raises(UserError, match=r"a\.t7: "):
        read_published(path)
