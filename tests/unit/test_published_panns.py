"""Our Cnn14 beside the class of panns_inference, at full width, without internet."""

import numpy as np
import pytest
import torch

from models.encoders import panns
from models.weights import seeded_state

pytest.importorskip("panns_inference", reason="the published package is for tests only")

from tests.published_panns import N_CLASSES, published_cnn14

ANALYTIC = ("spectrogram_extractor.", "logmel_extractor.")


@pytest.fixture(scope="module")
def published():
    network = published_cnn14()
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items() if not k.startswith(ANALYTIC)}
    weights = {k: torch.from_numpy(np.asarray(v)) for k, v in seeded_state(shapes, 0, 2.0).items()}
    network.load_state_dict(network.state_dict() | weights)
    return network


def test_the_package_has_all_its_classes_though_nothing_was_downloaded(published):
    assert published.fc_audioset.out_features == N_CLASSES


def test_a_checkpoint_of_the_package_is_loaded_strictly_and_gives_its_rows(published):
    waves = np.random.default_rng(0).uniform(-1, 1, (2, 32000)).astype(np.float32)
    with torch.inference_mode():
        expected = published(torch.from_numpy(waves))["embedding"].numpy()
    ours = panns.load(panns.Config(), published.state_dict(), "cpu").encode(waves)
    assert ours.shape == expected.shape == (2, 2048)
    assert np.abs(ours - expected).max() <= 1e-4 * expected.std()
