"""The CLIP family beside the libraries: published keys, cut forward passes, precision, HiREST's stochastic depth."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torchvision.models import vgg16 as torchvision_vgg16
from torchvision.models.vgg import VGG, make_layers

from models.encoders import clip, clip_text, eva_clip, eva_vit, vgg16
from models.encoders.networks.clip import BytePairs, build_clip, clip_network, image_embedding, text_embedding
from models.encoders.networks.eva import image_tower, resampled_positions
from models.encoders.networks.pixels import CPU_PIECE, BatchFirstAttention, FrameRunner, ready
from models.encoders.networks.plain_clip import PLAIN_SETTINGS, PlainClip, plain_settings
from models.encoders.networks.vgg16 import Vgg16
from models.weights import seeded_state
from workflow_scripts.lib.extraction.weight_files import LOADERS

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "embed_dim": 32,
    "vision": {"image_size": 32, "layers": 3, "width": 64, "patch_size": 8, "head_width": 32},
    "text": {"layers": 2, "width": 64, "heads": 2},
}
EVA = {"image_size": 28, "patch_size": 7, "width": 64, "layers": 3, "head_width": 32}
SENTENCES = ["a dog", "somebody closes the red door slowly, then sits down", "why?"]
COSINE_BOUND = 0.999
"""Of every row in bf16 or fp16 to the same row in float32 (specification of the published features)."""
OPENAI_KEYS = {"ViT-B-32-quickgelu": (302, 151_277_313), "ViT-L-14-quickgelu": (446, 427_616_513)}
"""Tensors and parameters of OpenAI's archives, without the three whole numbers beside them."""


def frames(n: int, side: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, side, side, 3), np.uint8)


def small_clip() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """Return open_clip's own network with seeded weights, and these."""
    network = build_clip(clip.Architecture.model_validate(SMALL))
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    state = {key: torch.from_numpy(np.asarray(value)) for key, value in seeded_state(shapes, 0, 1.0).items()}
    network.load_state_dict(state)
    return network.eval(), state


@pytest.mark.parametrize("name", OPENAI_KEYS)
def test_the_published_clip_keys_are_those_of_the_archive(name):
    with torch.device("meta"):
        network = build_clip(name)
    state = network.state_dict()
    assert (len(state), sum(value.numel() for value in state.values())) == OPENAI_KEYS[name]
    expected = {"visual.class_embedding", "visual.proj", "visual.conv1.weight", "text_projection", "logit_scale"}
    assert expected <= state.keys()
    assert "visual.transformer.resblocks.0.attn.in_proj_weight" in state
    activation = network.transformer.resblocks[0].mlp.gelu
    assert isinstance(activation, open_clip.transformer.QuickGELU)


def test_a_plain_model_name_has_another_activation_than_the_published_weights():
    with torch.device("meta"):
        network = build_clip("ViT-B-32")
    assert isinstance(network.transformer.resblocks[0].mlp.gelu, torch.nn.GELU)


def test_an_unknown_architecture_is_named():
    with pytest.raises(ValueError, match="open_clip knows no model 'ViT-B-33'"):
        build_clip("ViT-B-33")


def test_half_precision_archives_are_computed_in_float32():
    _, state = small_clip()
    half = {key: value.half() for key, value in state.items()} | {"input_resolution": torch.tensor(32)}
    config, pixels = clip.Config(architecture=SMALL), frames(2, 32)
    rounded = {key: value.half().float() for key, value in state.items()}
    assert np.array_equal(
        clip.load(config, half, "cpu").encode(pixels), clip.load(config, rounded, "cpu").encode(pixels)
    )


@torch.inference_mode()
def test_leaving_out_what_nobody_reads_changes_no_image_embedding():
    network, state = small_clip()
    pixels = frames(2 * CPU_PIECE + 1, 32)
    normalised = (
        torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1)
    ) / torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)
    plain = network.encode_image(normalised).numpy()
    found = clip.load(clip.Config(architecture=SMALL), state, "cpu").encode(pixels)
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-5 * plain.std())


@torch.inference_mode()
def test_a_short_context_gives_the_text_embeddings_of_the_full_one():
    network, state = small_clip()
    plain = network.encode_text(open_clip.tokenize(SENTENCES)).numpy()
    config = clip_text.Config(architecture=SMALL, output="pooled")
    rows = clip_text.load(config, state, "cpu").encode(SENTENCES)
    assert [row.shape for row in rows] == [(1, 32)] * len(SENTENCES)
    np.testing.assert_allclose(np.concatenate(rows), plain, rtol=0, atol=1e-5 * plain.std())
    padded = text_embedding(network, open_clip.tokenize(SENTENCES)).numpy()
    np.testing.assert_allclose(padded, plain, rtol=0, atol=1e-5 * plain.std())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("quick_gelu", [True, False])
def test_the_image_rows_without_the_package_are_those_with_it(quick_gelu, precision):
    sizes = clip.Architecture.model_validate(SMALL | {"quick_gelu": quick_gelu})
    package, own = build_clip(sizes), clip_network(sizes, 0, 1.0)
    assert isinstance(own, PlainClip)
    package.load_state_dict(own.state_dict())
    pixels = frames(CPU_PIECE + 1, 32)
    rows = [
        FrameRunner(partial(image_embedding, ready(network.visual, "cpu", precision)), "cpu", precision)(pixels)
        for network in (package, own)
    ]
    assert np.array_equal(*rows)


@torch.inference_mode()
@pytest.mark.parametrize("quick_gelu", [True, False])
def test_the_sentences_without_the_package_are_those_with_it(quick_gelu):
    sizes = clip.Architecture.model_validate(SMALL | {"quick_gelu": quick_gelu})
    package, own = build_clip(sizes).eval(), clip_network(sizes, 0, 1.0).eval()
    package.load_state_dict(own.state_dict())
    ids = open_clip.tokenize(SENTENCES)
    assert torch.equal(text_embedding(package, ids), text_embedding(own, ids))
    assert torch.equal(package.encode_text(ids), text_embedding(own, ids))


@pytest.mark.parametrize("name", [*OPENAI_KEYS, "ViT-B-32", "ViT-B-16"])
def test_a_plain_network_has_the_keys_and_sizes_of_the_package(name):
    with torch.device("meta"):
        package = build_clip(name)
    own = PlainClip(plain_settings(name))
    shapes = [[(key, value.shape) for key, value in each.state_dict().items()] for each in (package, own)]
    assert shapes[0] == shapes[1]
    attentions = [
        [each.visual.transformer.resblocks[0].attn, each.transformer.resblocks[0].attn] for each in (package, own)
    ]
    heads = [[attention.num_heads for attention in each] for each in attentions]
    assert heads[0] == heads[1]
    assert isinstance(package.transformer.resblocks[0].mlp.gelu, torch.nn.GELU) == isinstance(
        own.transformer.resblocks[0].mlp.gelu, torch.nn.GELU
    )


def test_what_is_not_plain_is_left_to_the_package():
    assert plain_settings("ViT-B-33") is None
    assert plain_settings("RN50") is None
    assert plain_settings("ViT-B-16-SigLIP") is None
    assert plain_settings("coca_ViT-B-32") is None
    small = clip.Architecture.model_validate(SMALL)
    for tower in ("vision", "text"):
        odd = small.model_copy(update={tower: getattr(small, tower) | {"ls_init_value": 0.1}})
        assert plain_settings(odd) is None
        assert not isinstance(clip_network(odd, 0, 1.0), PlainClip)
    assert plain_settings(small)["text_cfg"] == PLAIN_SETTINGS["text_cfg"] | SMALL["text"]


def test_the_package_is_not_imported_for_either_tower():
    code = (
        "import sys; import numpy as np; from models.encoders import clip, clip_text\n"
        f"frames = np.zeros((1, 32, 32, 3), np.uint8); sizes = {SMALL}\n"
        "clip.load(clip.Config(architecture=sizes), 0, 'cpu').encode(frames)\n"
        "clip_text.load(clip_text.Config(architecture=sizes), 0, 'cpu').encode(['a dog'])\n"
        "sys.exit(', '.join({'open_clip', 'torchvision', 'torch._dynamo'} & sys.modules.keys()) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_long_sentences_keep_their_first_byte_pairs_and_the_end():
    words = " ".join(["door"] * 100)
    assert BytePairs(77)(words) == open_clip.tokenize([words])[0].tolist()
    short = BytePairs(32)(words)
    assert len(short) == 32
    assert short[-1] == BytePairs(77)(words)[-1]
    config = clip_text.Config(architecture=SMALL, max_tokens=32)
    assert clip_text.load(config, 0, "cpu").encode([words])[0].shape == (32, 64)


def test_a_context_longer_than_that_of_the_network_is_refused():
    with pytest.raises(ValueError, match="max_tokens: 78 is above the context length of the network, 77"):
        clip_text.load(clip_text.Config(architecture=SMALL, max_tokens=78), 0, "cpu")


def cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return (found * expected).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(expected, axis=-1)


@pytest.mark.parametrize(
    ("module", "params", "side"),
    [
        (clip, {"architecture": SMALL}, 32),
        (eva_clip, {"embed_dim": 32, "vision": EVA}, 28),
        (eva_vit, {"vision": EVA}, 28),
        (vgg16, {"width": 4}, 64),
    ],
    ids=["clip", "eva_clip", "eva_vit", "vgg16"],
)
def test_bf16_rows_keep_the_direction_of_float32_rows(module, params, side):
    pixels = frames(4, side)
    exact = module.load(module.Config.model_validate(params), 0, "cpu").encode(pixels)
    encoder = module.load(module.Config.model_validate(params | {"precision": "bf16"}), 0, "cpu")
    rows = encoder.encode(pixels)
    assert rows.dtype == np.float32
    assert not np.array_equal(rows, exact)
    tokens = (len(pixels), -1, EVA["width"]) if module is eva_vit else exact.shape
    assert cosines(rows.reshape(tokens), exact.reshape(tokens)).min() >= COSINE_BOUND


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("n_queries", [1, 7])
def test_attention_in_reduced_precision_is_that_of_the_module(n_queries, masked):
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(32, 4, batch_first=True).eval().to(torch.bfloat16)
    torch.nn.init.normal_(module.in_proj_bias)
    keys = torch.randn(3, 7, 32)
    query = keys if n_queries == 7 else keys[:, :n_queries]
    mask = torch.full((n_queries, 7), float("-inf")).triu(1) if masked else None
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        wanted, _ = module(query, keys, keys, need_weights=False, attn_mask=mask)
        found, _ = BatchFirstAttention(module)(query, keys, keys, attn_mask=mask)
    # Processors with bf16 arithmetic may sum the two in another order.
    torch.testing.assert_close(found, wanted, rtol=2**-7, atol=2**-7)
    assert torch.equal(found, wanted) or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def test_in_reduced_precision_no_projection_reads_a_transposed_tensor(monkeypatch):
    seen, linear = [], torch.nn.functional.linear
    encoder = clip.load(clip.Config.model_validate({"architecture": SMALL, "precision": "bf16"}), 0, "cpu")

    def watched(x, *rest):
        seen.append(x.is_contiguous())
        return linear(x, *rest)

    monkeypatch.setattr(torch.nn.functional, "linear", watched)
    encoder.encode(frames(4, 32))
    # A block's attention has two and its MLP two; of the last block only the class token is a query: three.
    assert len(seen) == 4 + 4 + 5
    # That class token is cut out of the tokens of each frame.
    assert seen.count(False) == 1


def test_in_float32_the_modules_of_the_library_are_kept():
    network, _ = small_clip()
    modules = [type(module) for module in network.visual.modules()]
    assert [type(module) for module in ready(network.visual, "cpu", "fp32").modules()] == modules


def test_attention_over_other_values_than_keys_is_refused():
    module, x = BatchFirstAttention(torch.nn.MultiheadAttention(8, 2, batch_first=True)), torch.zeros(1, 2, 8)
    with pytest.raises(ValueError, match="keys have to be the values"):
        module(x, x, x.clone())
    with pytest.raises(ValueError, match="weights are not returned"):
        module(x, x, x, need_weights=True)


def test_eva_rows_have_length_one_unless_the_retrieval_form_is_asked_for():
    config = eva_clip.Config(embed_dim=32, vision=EVA)
    rows = eva_clip.load(config, 0, "cpu").encode(frames(2, 28))
    raw = eva_clip.load(config.model_copy(update={"normalise": False}), 0, "cpu").encode(frames(2, 28))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(rows, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-6)


def test_the_stochastic_depth_of_hirest_is_repeatable_and_does_not_depend_on_the_batch():
    config, pixels = eva_clip.Config(embed_dim=32, vision=EVA, drop_path="reference"), frames(6, 28)
    rows = eva_clip.load(config, 0, "cpu").encode(pixels)
    single = np.concatenate([eva_clip.load(config, 0, "cpu").encode(pixels[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(single, rows, rtol=0, atol=1e-5)
    exact = eva_clip.load(eva_clip.Config(embed_dim=32, vision=EVA), 0, "cpu").encode(pixels)
    assert cosines(rows, exact).min() < 0.99


def test_blip2_takes_39_of_the_40_blocks_of_its_file_and_resamples_positions():
    tower = image_tower(eva_clip.VisionSizes.model_validate(EVA | {"layers": 4}), n_classes=8)
    shapes = {key: tuple(value.shape) for key, value in tower.state_dict().items()}
    state = {key: torch.from_numpy(np.asarray(value)) for key, value in seeded_state(shapes, 0, 1.0).items()}
    encoder = eva_vit.load(eva_vit.Config(vision=EVA), state, "cpu")
    assert encoder.encode(frames(1, 28)).shape == (1, 17 * 64) == (1, encoder.dim)
    larger = eva_vit.load(eva_vit.Config(vision=EVA | {"image_size": 42}), state, "cpu")
    assert larger.encode(frames(1, 42)).shape == (1, 37 * 64)
    with pytest.raises(RuntimeError, match="Missing key"):
        eva_vit.load(eva_vit.Config(vision=EVA), {k: v for k, v in state.items() if "blocks.2." not in k}, "cpu")
    with pytest.raises(RuntimeError, match="Unexpected key"):
        eva_vit.load(eva_vit.Config(vision=EVA | {"layers": 2}), state, "cpu")


def test_positions_of_the_same_number_are_left_alone():
    positions = torch.randn(1, 17, 8)
    assert resampled_positions(positions, 17) is positions
    larger = resampled_positions(positions, 26)
    assert torch.equal(larger[:, 0], positions[:, 0])


def test_vgg16_has_the_keys_of_torchvision_and_its_numbers():
    with torch.device("meta"):
        ours, theirs = Vgg16().state_dict(), torchvision_vgg16(weights=None).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    small = Vgg16(2).eval()
    plain = VGG(make_layers([2, 2, "M", 4, 4, "M", 8, 8, 8, "M", 16, 16, 16, "M", 16, 16, 16, "M"]), init_weights=False)
    plain.classifier = small.classifier
    plain.features.load_state_dict(small.features.state_dict())
    pixels = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        fc7 = plain.eval().classifier[:5](plain.avgpool(plain.features(pixels)).flatten(1))
        assert torch.allclose(small.fc7(pixels, relu=True), fc7, atol=1e-6)
        assert small.fc7(pixels, relu=False).min() < 0


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"module": s, "epoch": 3}])
def test_a_training_checkpoint_is_read_with_and_without_wrapping(tmp_path, wrap):
    path = tmp_path / "weights.pt"
    torch.save(wrap({"module.visual.head.weight": torch.ones(2)}), path)
    assert list(LOADERS["torch checkpoint"](path)) == ["visual.head.weight"]


def test_openai_archives_are_read_as_state_dicts(tmp_path):
    network, state = small_clip()
    tower = torch.jit.trace(network.transformer.resblocks[0].mlp, torch.zeros(1, 64))
    tower.save(str(tmp_path / "archive.pt"))
    read = LOADERS["TorchScript archive"](tmp_path / "archive.pt")
    assert torch.equal(read["c_fc.weight"], state["transformer.resblocks.0.mlp.c_fc.weight"])
