"""SlowFast, I3D, C3D, LanguageBind and BEATs: published names and sizes, ports, folding, half precision, bad input."""

import pickle
import re

import numpy as np
import pytest
import torch

from models.encoders import c3d, i3d, languagebind_audio, languagebind_video, slowfast
from models.encoders.networks.beats import Beats
from models.encoders.networks.c3d import C3d
from models.encoders.networks.convolution import conv3d
from models.encoders.networks.filling import fill, fold_batch_norms
from models.encoders.networks.flow import load_raft, raft_flow
from models.encoders.networks.i3d import I3d, n_rows, paddings, to_piergiaj
from models.encoders.networks.languagebind import AudioTower, VideoTower, bare_tower
from models.encoders.networks.slowfast import SlowFast
from models.encoders.networks.slowfast_names import from_caffe2, from_pytorchvideo, to_pyslowfast
from models.encoders.networks.vit3d import VisionTransformer3d
from models.encoders.with_torch.i3d import PORTS
from models.weights import seeded_state
from tests.parity.windowed_network_cases import hassony_name
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.weight_files import LOADERS

PUBLISHED = {
    # tensors and parameters of the published networks at full width
    "slowfast": (SlowFast, 662, 34_566_488),
    "i3d": (I3d, 344, 12_697_264),
    "c3d": (C3d, 22, 79_991_015),
    "languagebind_video": (VideoTower, 656, 404_194_304),
    "languagebind_audio": (AudioTower, 392, 303_523_840),
    "beats": (Beats, 250, 90_311_792),
    "vit3d": (VisionTransformer3d, 281, 290_588_672),
}
SOME_NAMES = {
    "slowfast": {
        "s1.pathway1_stem.conv.weight": (8, 3, 5, 7, 7),
        "s2_fuse.conv_f2s.weight": (64, 32, 7, 1, 1),
        "s3.pathway0_res0.branch1.weight": (512, 320, 1, 1, 1),
        "s5.pathway0_res2.branch2.a_bn.running_var": (512,),
        "head.projection.weight": (400, 2304),
    },
    "i3d": {
        "Conv3d_1a_7x7.conv3d.weight": (64, 3, 7, 7, 7),
        "Mixed_4e.b1b.conv3d.weight": (288, 144, 3, 3, 3),
        "Mixed_5c.b3b.bn.running_mean": (128,),
        "logits.conv3d.weight": (400, 1024, 1, 1, 1),
    },
    "c3d": {"conv3b.weight": (256, 256, 3, 3, 3), "fc6.weight": (4096, 8192), "fc8.bias": (487,)},
    "languagebind_video": {
        "embeddings.class_embedding": (8, 1024),
        "embeddings.position_ids": (1, 257),
        "embeddings.patch_embedding.weight": (1024, 3, 1, 14, 14),
        "encoder.layers.23.temporal_embedding": (1, 8, 1024),
        "encoder.layers.0.temporal_attn.out_proj.bias": (1024,),
        "pre_layrnorm.weight": (1024,),
    },
    "languagebind_audio": {
        "embeddings.class_embedding": (1024,),
        "embeddings.position_embedding.weight": (593, 1024),
        "encoder.layers.0.mlp.fc1.weight": (4096, 1024),
    },
    "beats": {
        "encoder.pos_conv.0.weight_g": (1, 1, 128),
        "encoder.pos_conv.0.weight_v": (768, 48, 128),
        "encoder.layers.11.self_attn.relative_attention_bias.weight": (320, 12),
        "encoder.layers.0.self_attn.grep_a": (1, 12, 1, 1),
    },
    "vit3d": {"transformer.resblocks.22.attn.in_proj_weight": (3072, 1024), "class_embedding": (8, 1024)},
}


def frames(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_full_network_has_the_published_names_shapes_and_size(name):
    make, n_tensors, n_parameters = PUBLISHED[name]
    with torch.device("meta"):
        network = make()
    state = network.state_dict()
    assert len(state) == n_tensors
    assert sum(parameter.numel() for parameter in network.parameters()) == n_parameters
    for key, shape in SOME_NAMES[name].items():
        assert tuple(state[key].shape) == shape


def caffe2_name(name: str) -> str:
    """Return the Caffe2 name of a PySlowFast tensor."""
    name = name.replace(".running_mean", "_rm").replace(".running_var", "_riv")
    name = re.sub(r"(bn)\.weight$", r"\1_s", re.sub(r"(bn)\.bias$", r"\1_b", name))
    name = re.sub(r"\.weight$", "_w", re.sub(r"\.bias$", "_b", name))
    for pattern, new in (
        (r"^head\.projection", "pred"),
        (r"^s1\.pathway0_stem\.conv", "conv1"),
        (r"^s1\.pathway1_stem\.conv", "t_conv1"),
        (r"^s1\.pathway0_stem\.bn", "res_conv1_bn"),
        (r"^s1\.pathway1_stem\.bn", "t_res_conv1_bn"),
        (r"^s1_fuse\.conv_f2s", "t_pool1_subsample"),
        (r"^s1_fuse\.bn", "t_pool1_subsample_bn"),
        (r"^s2_fuse\.conv_f2s", "t_res2_2_branch2c_bn_subsample"),
        (r"^s2_fuse\.bn", "t_res2_2_branch2c_bn_subsample_bn"),
        (r"^s3_fuse\.conv_f2s", "t_res3_3_branch2c_bn_subsample"),
        (r"^s3_fuse\.bn", "t_res3_3_branch2c_bn_subsample_bn"),
        (r"^s4_fuse\.conv_f2s", "t_res4_5_branch2c_bn_subsample"),
        (r"^s4_fuse\.bn", "t_res4_5_branch2c_bn_subsample_bn"),
        (r"^s(\d)\.pathway0_res(\d)\.branch", r"res\1_\2_branch"),
        (r"^s(\d)\.pathway1_res(\d)\.branch", r"t_res\1_\2_branch"),
    ):
        name = re.sub(pattern, new, name)
    return name.replace("branch2.", "branch2")


def pytorchvideo_name(name: str) -> str:
    """Return pytorchvideo's name of a PySlowFast tensor."""
    name = re.sub(r"^s1\.pathway(\d)_stem\.conv", r"blocks.0.multipathway_blocks.\1.conv", name)
    name = re.sub(r"^s1\.pathway(\d)_stem\.bn", r"blocks.0.multipathway_blocks.\1.norm", name)
    fuse = "blocks.{}.multipathway_fusion."
    name = re.sub(r"^s(\d)_fuse\.conv_f2s", lambda m: fuse.format(int(m[1]) - 1) + "conv_fast_to_slow", name)
    name = re.sub(r"^s(\d)_fuse\.bn", lambda m: fuse.format(int(m[1]) - 1) + "norm", name)
    block = "blocks.{}.multipathway_blocks.{}.res_blocks.{}."
    name = re.sub(r"^s(\d)\.pathway(\d)_res(\d)\.", lambda m: block.format(int(m[1]) - 1, m[2], m[3]), name)
    name = re.sub(r"branch1_bn\.", "branch1_norm.", re.sub(r"branch1\.", "branch1_conv.", name))
    name = re.sub(
        r"branch2\.([abc])_bn\.", r"branch2.norm_\1.", re.sub(r"branch2\.([abc])\.", r"branch2.conv_\1.", name)
    )
    return name.replace("head.projection", "blocks.6.proj")


@pytest.fixture(scope="module")
def slowfast_state():
    shapes = {key: tuple(value.shape) for key, value in SlowFast(8).state_dict().items()}
    return seeded_state(shapes, 3, 1.0)


@pytest.mark.parametrize("layout", ["PySlowFast", "pytorchvideo", "Caffe2"])
def test_all_three_layouts_of_slowfast_give_the_same_rows(slowfast_state, layout):
    state = slowfast_state
    if layout == "pytorchvideo":
        state = {pytorchvideo_name(key): value for key, value in state.items()}
        assert set(from_pytorchvideo(state)) == set(slowfast_state)
    elif layout == "Caffe2":
        blobs = {caffe2_name(key): value for key, value in state.items() if not key.endswith("batches_tracked")}
        state = blobs | {"conv1_w_momentum": np.zeros(3), "lr": np.zeros(1), "model_iter": np.zeros(1)}
        assert {"t_res4_5_branch2c_bn_subsample_bn_riv", "res2_0_branch1_bn_s", "pred_w"} <= set(state)
    config = slowfast.Config(base_width=8)
    clips = frames(1, 32, 32, 32)
    wanted = slowfast.load(config, slowfast_state, "cpu").encode(clips)
    assert np.array_equal(slowfast.load(config, state, "cpu").encode(clips), wanted)


@pytest.mark.parametrize("name", ["t_res2_0_branch3_w", "res2_0_branch2a_x", "surprise"])
def test_a_blob_that_no_rule_knows_is_named(name):
    with pytest.raises(RuntimeError, match=f"Unexpected key in the Caffe2 file: '{name}'"):
        from_caffe2({name: np.zeros(3)})
    assert to_pyslowfast({"a": 1}) == {"a": 1}


def test_a_caffe2_pickle_is_read_and_one_that_would_run_code_is_refused(tmp_path):
    read = LOADERS["Caffe2 pickle"]
    good, bad, other = tmp_path / "good.pkl", tmp_path / "bad.pkl", tmp_path / "other.pkl"
    good.write_bytes(pickle.dumps({"blobs": {"conv1_w": np.ones((2, 3), np.float32)}}, protocol=2))
    assert read(good)["conv1_w"].tolist() == [[1, 1, 1], [1, 1, 1]]
    bad.write_bytes(pickle.dumps({"blobs": {"conv1_w": print}}))
    with pytest.raises(UserError, match=r"bad\.pkl: .* asks for builtins\.print; only arrays are read"):
        read(bad)
    other.write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(UserError, match=r"other\.pkl: not a Caffe2 pickle of arrays under `blobs`"):
        read(other)


@pytest.mark.parametrize(
    ("loader", "wrap"),
    [("torch state dict", dict), ("torch checkpoint, key `model_state`", lambda state: {"model_state": state})],
)
def test_torch_files_are_read_zipped_and_as_before_pytorch_1_6(tmp_path, loader, wrap):
    state = {"a.weight": torch.ones(2)}
    for is_zip in (True, False):
        path = tmp_path / f"{is_zip}.pt"
        torch.save(wrap(state), path, _use_new_zipfile_serialization=is_zip)
        assert torch.equal(LOADERS[loader](path)["a.weight"], state["a.weight"])


def test_i3d_of_before_pytorch_0_4_1_has_no_counters_and_loads():
    shapes = {key: tuple(value.shape) for key, value in I3d(base_width=4).state_dict().items()}
    state = seeded_state(shapes, 5, 2.0)
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    config, window = i3d.Config(base_width=4), frames(1, 9, 32, 32)
    assert np.array_equal(i3d.load(config, old, "cpu").encode(window), i3d.load(config, state, "cpu").encode(window))


def test_names_of_both_ports_of_i3d_are_the_same_network():
    own = list(I3d(base_width=4).state_dict())
    assert list(to_piergiaj({hassony_name(key): 0 for key in own})) == own
    assert hassony_name("Mixed_3b.b1a.bn.weight") == "mixed_3b.branch_1.0.batch3d.weight"


@pytest.mark.parametrize("n_frames", [9, 16, 17, 24, 33])
def test_a_window_gives_a_row_per_eight_frames_less_one(n_frames):
    encoder = i3d.load(i3d.Config(base_width=4), 0, "cpu")
    rows = encoder.encode(frames(2, n_frames, 32, 32))
    assert rows.shape == (2, n_rows(n_frames), encoder.dim)
    mean = i3d.load(i3d.Config(base_width=4, time_mean=True), 0, "cpu").encode(frames(2, n_frames, 32, 32))
    np.testing.assert_allclose(mean[:, 0], rows.mean(1), atol=1e-6)


def test_the_ports_of_i3d_differ_and_pad_odd_sizes_differently():
    window = frames(1, 16, 32, 32)
    rows = [i3d.load(i3d.Config(base_width=4, port=port), 0, "cpu").encode(window) for port in PORTS]
    assert not np.allclose(*rows)
    assert paddings(torch.Size([11]), (3,), (2,), "same") == [(1, 1)]
    assert paddings(torch.Size([11]), (3,), (2,), "fixed") == [(0, 1)]


def test_windows_that_are_too_short_are_refused_with_the_least_number():
    with pytest.raises(ValueError, match="I3D needs at least 9 frames, got 8"):
        i3d.load(i3d.Config(base_width=4), 0, "cpu").encode(frames(1, 8, 32, 32))
    with pytest.raises(ValueError, match="SlowFast sees clips of 32 frames"):
        slowfast.load(slowfast.Config(base_width=8), 0, "cpu").encode(frames(1, 16, 32, 32))
    with pytest.raises(ValueError, match="16 frames of 112 x 112"):
        c3d.load(c3d.Config(base_width=1), 0, "cpu").encode(frames(1, 16, 64, 64))
    tower = languagebind_video.Config(width=16, layers=1, heads=2, inner=16, image=28)
    with pytest.raises(ValueError, match="linspace_clip with n_frames: 8"):
        languagebind_video.load(tower, 0, "cpu").encode(frames(1, 4, 28, 28))


@pytest.mark.parametrize("make", [lambda: SlowFast(8), lambda: I3d(base_width=4)], ids=["slowfast", "i3d"])
def test_folded_batch_norms_give_the_same_numbers(make):
    network = make().eval()
    fill(network, 1, 1.0)
    network.requires_grad_(False)
    clips = torch.rand(1, 3, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    wanted = network(clips)
    fold_batch_norms(network)
    assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in network.modules())
    torch.testing.assert_close(network(clips), wanted, rtol=0, atol=float(1e-4 * wanted.std()))


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 1, 1), (1, 3, 3), (5, 7, 7)])
def test_the_direct_convolution_equals_pytorchs(kernel):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(1, 4, 8, 12, 12, generator=generator), torch.randn(6, 4, *kernel, generator=generator)
    padding = tuple(k // 2 for k in kernel)
    plain = torch.nn.functional.conv3d(x, weight, None, (1, 2, 2), padding)
    with torch.inference_mode():
        torch.testing.assert_close(conv3d(x, weight, None, (1, 2, 2), padding), plain, rtol=1e-4, atol=1e-4)
    weight.requires_grad_(True)
    conv3d(x, weight, None, (1, 2, 2), padding).sum().backward()
    assert weight.grad is not None


HALF = {
    "slowfast": (slowfast, {"base_width": 16}, (2, 32, 64, 64)),
    "i3d": (i3d, {"base_width": 16}, (2, 16, 64, 64)),
    "c3d": (c3d, {"base_width": 4, "pixel_mean": 128, "pixel_scale": 64}, (2, 16, 112, 112)),
    "languagebind_video": (
        languagebind_video,
        {"width": 64, "layers": 4, "heads": 4, "inner": 128, "image": 56, "n_frames": 4, "output": "tokens"},
        (2, 4, 70, 60),
    ),
}


@pytest.mark.parametrize(("name", "precision"), [*((name, "bf16") for name in HALF), ("i3d", "fp16")])
def test_half_precision_rows_point_where_fp32_rows_do(name, precision):
    module, params, shape = HALF[name]
    full, half = (
        module.load(module.Config(**params, precision=p), 0, "cpu").encode(frames(*shape)) for p in ("fp32", precision)
    )
    full, half = (rows.reshape(-1, rows.shape[-1]) for rows in (full, half))
    cosine = (full * half).sum(1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() >= 0.999
    assert not np.array_equal(full, half)


def test_flow_comes_from_neighbouring_frames_or_from_images():
    config = i3d.Config(modality="flow", base_width=4, flow_updates=1, flow_crop=64)
    encoder = i3d.load(config, 0, "cpu", raft=1)
    assert encoder.min_frames == 10
    window = frames(1, 10, 128, 136)
    assert encoder.encode(window).shape == (1, 1, encoder.dim)
    levels = encoder._quantised(
        torch.tensor([25.0, 20.0, 0.0, -30.0]).repeat(64, 1).expand(1, 2, 64, 4).repeat(1, 1, 1, 16)
    )
    expected = [2 * level / 255 - 1 for level in (256, 256, 128, 0)]
    np.testing.assert_allclose(levels[0, 0, 0, :4].numpy(), expected, atol=1e-6)
    images = i3d.load(config.model_copy(update={"flow_from": "images"}), 0, "cpu")
    assert images.encode(frames(1, 9, 64, 64)[..., :2]).shape == (1, 1, encoder.dim)


def test_flow_does_not_depend_on_how_many_pairs_go_together(monkeypatch):
    network, window = load_raft(0, "cpu"), frames(4, 128, 132)
    with torch.inference_mode():
        together = raft_flow(network, window, 2)
        monkeypatch.setattr("models.encoders.networks.flow.PAIRS_AT_ONCE", 2)
        apart = raft_flow(network, window, 2)
    assert together.shape == (3, 2, 128, 132)
    torch.testing.assert_close(apart, together, rtol=1e-4, atol=1e-4 * float(together.abs().max()))
    with pytest.raises(ValueError, match="at least 128 pixels, got 64 x 128"):
        raft_flow(network, frames(2, 128, 64), 1)


def test_flow_without_a_raft_and_a_raft_without_flow_are_refused():
    with pytest.raises(ValueError, match="needs weights for raft"):
        i3d.load(i3d.Config(modality="flow", base_width=4), 0, "cpu")
    with pytest.raises(ValueError, match="takes no weights for raft"):
        i3d.load(i3d.Config(base_width=4), 0, "cpu", raft=0)


def test_c3d_rows_are_projected_on_stored_components():
    config, clips = c3d.Config(base_width=1, pixel_mean=128, pixel_scale=64), frames(3, 16, 112, 112)
    rows = c3d.load(config, 0, "cpu").encode(clips)
    mean, components = rows.mean(0), np.linalg.qr(np.random.default_rng(1).normal(size=(64, 5)))[0].T
    pca = {"mean": mean, "components": components.astype(np.float32)}
    reduced = c3d.load(config, 0, "cpu", pca=pca)
    assert reduced.dim == 5
    np.testing.assert_allclose(reduced.encode(clips), (rows - mean) @ components.T, atol=1e-4 * np.abs(rows).max())
    with pytest.raises(RuntimeError, match="Missing key"):
        c3d.load(config, 0, "cpu", pca={"mean": mean})


def test_a_languagebind_checkpoint_gives_its_vision_part():
    tower = languagebind_video.Config(width=16, layers=1, heads=2, inner=16, image=28, n_frames=2)
    network = VideoTower(16, 1, 2, 16, image=28, n_frames=2)
    state = network.state_dict()
    whole = {f"vision_model.{key}": value for key, value in state.items() if key != "embeddings.position_ids"}
    whole |= {"text_model.final_layer_norm.weight": torch.ones(3), "logit_scale": torch.ones(())}
    assert set(bare_tower(whole)) == set(state) - {"embeddings.position_ids"}
    clip = frames(1, 2, 30, 40)
    wanted = languagebind_video.load(tower, state, "cpu").encode(clip)
    assert np.array_equal(languagebind_video.load(tower, whole, "cpu").encode(clip), wanted)


def test_outputs_of_the_towers_are_views_of_the_same_tokens():
    sizes = {"width": 16, "layers": 1, "heads": 2, "inner": 16, "image": 28, "n_frames": 2}
    tokens, by_frame, clip = (
        languagebind_video.load(languagebind_video.Config(**sizes, output=output), 0, "cpu").encode(
            frames(2, 2, 28, 28)
        )
        for output in ("tokens", "frames", "clip")
    )
    assert (tokens.shape, by_frame.shape, clip.shape) == ((2, 2 * 5, 16), (2, 2, 16), (2, 1, 16))
    np.testing.assert_allclose(by_frame.mean(1), clip[:, 0], atol=1e-6)


@pytest.mark.parametrize("n_samples", [0, 100, 399, 16000, 200_000])
def test_sound_of_any_length_has_a_row(n_samples):
    config = languagebind_audio.Config(width=16, layers=1, heads=2, inner=16, frames=56)
    rows = languagebind_audio.load(config, 0, "cpu").encode(np.zeros((1, n_samples), np.float32))
    assert rows.shape == (1, 1, 16)
    assert np.isfinite(rows).all()


def test_an_image_towers_positions_are_resized_to_the_spectrogram():
    sizes = {"width": 16, "layers": 1, "heads": 2, "inner": 16, "frames": 56}
    state = AudioTower(16, 1, 2, 16, frames=56).state_dict()
    image = state | {
        "embeddings.position_embedding.weight": torch.rand(17, 16),
        "embeddings.position_ids": torch.arange(17)[None],
    }
    wave = np.zeros((1, 16000), np.float32)
    with pytest.raises(RuntimeError, match="size mismatch"):
        languagebind_audio.load(languagebind_audio.Config(**sizes), image, "cpu")
    config = languagebind_audio.Config(**sizes, from_image_clip=True)
    assert languagebind_audio.load(config, image, "cpu").encode(wave).shape == (1, 1, 16)
