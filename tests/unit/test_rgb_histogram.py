"""The colour histogram: numbers, and that it runs without weights and without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.encoders import rgb_histogram
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import feature_recipe
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.plan import Plan

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "config"


def encoder(bins: int):
    return rgb_histogram.load(rgb_histogram.Config(bins=bins), None, "cpu")


def test_a_row_holds_the_share_of_pixels_in_each_bin():
    frame = np.zeros((2, 2, 3), np.uint8)
    frame[0, 0] = (255, 127, 128)
    row = encoder(2).encode(frame[None])[0]
    assert row.dtype == np.float32
    np.testing.assert_allclose(row * 12, [3, 1, 4, 0, 3, 1], rtol=1e-6)


@given(st.integers(1, 256), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_rows_sum_to_one_and_do_not_depend_on_their_batch(bins, n, height, width, seed):
    batch = np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)
    made = encoder(bins)
    rows = made.encode(batch)
    assert rows.shape == (n, made.dim) == (n, 3 * bins)
    np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(rows[-1], made.encode(batch[-1:])[0])


def test_a_clip_is_the_mean_of_its_frames():
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 6, 3), np.uint8)
    made = encoder(8)
    np.testing.assert_allclose(made.encode(clips)[1], made.encode(clips[1]).mean(0), rtol=1e-5)


@pytest.mark.parametrize("bins", [0, 257])
def test_bins_have_limits(bins):
    with pytest.raises(ValidationError):
        rgb_histogram.Config(bins=bins)


def test_it_takes_no_weights():
    with pytest.raises(ValueError, match="no weights"):
        rgb_histogram.load(rgb_histogram.Config(), 0, "cpu")


@pytest.mark.parametrize(
    ("feature", "weights", "message"),
    [("rgb_histogram", "random(0)", "write `weights: none`"), ("clip_tiny", "none", "'clip' needs weights")],
)
def test_weights_where_there_are_none_and_none_where_there_must_be_are_named(feature, weights, message):
    configuration = Configuration({"features": {feature: {"weights": weights}}}, CONFIG)
    with pytest.raises(UserError, match=message):
        feature_recipe(configuration, configuration.feature("demo", feature))


def test_the_workflow_asks_for_no_weights_file():
    assert Plan({}, CONFIG).features.weights("demo", "rgb_histogram") == []


def test_the_recipe_names_no_weights_file():
    configuration = Configuration({}, CONFIG)
    recipe = feature_recipe(configuration, configuration.feature("demo", "rgb_histogram"))
    assert recipe["weights"] == "none"
    assert "weights_sha256" not in recipe


def test_loading_it_imports_no_torch():
    code = """
import sys
from pathlib import Path
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.extraction.networks import load_encoder
from workflow_scripts.lib.extraction.settings import feature_settings
import workflow_scripts.extract_visual
encoder = load_encoder(feature_settings(Configuration({}, Path("config")), "demo", "rgb_histogram"))
print(encoder.dim, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("48 False", 0), done.stderr
