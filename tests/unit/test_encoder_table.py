"""The table of all features says what their files say."""

import pytest

from tests.encoder_table import DATASET, PAGE, ROOT, page, seconds
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import NO_WEIGHTS, feature_recipe, random_seed
from workflow_scripts.lib.configuration.schema import ExtractedFeature
from workflow_scripts.lib.extraction.networks import load_encoder
from workflow_scripts.lib.extraction.settings import feature_settings

CONFIGURATION = Configuration({}, ROOT / "config")
FEATURES = CONFIGURATION.known("features")


def runs_without_download(name: str) -> bool:
    feature = CONFIGURATION.feature(DATASET, name)
    if not isinstance(feature, ExtractedFeature) or feature.kind == "speech":
        return False
    weights = feature.weights
    return weights == NO_WEIGHTS or random_seed(weights) is not None or bool(CONFIGURATION.weight(weights).package)


def test_the_page_is_that_of_the_feature_files():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.encoder_table --write`"


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_says_its_dimension_and_who_uses_it(name):
    feature = CONFIGURATION.feature(DATASET, name)
    assert feature.dim or feature.kind == "speech", "transcripts alone have no dimension"
    assert feature.used_by or feature.kind == "speech"


@pytest.mark.parametrize("name", [name for name in FEATURES if runs_without_download(name)])
def test_the_stated_dimension_is_that_of_the_network(name):
    settings = feature_settings(CONFIGURATION, DATASET, name)
    assert load_encoder(settings | {"device": "cpu"}).dim == CONFIGURATION.feature(DATASET, name).dim


def test_what_only_the_table_shows_is_no_part_of_the_recipe():
    recipe = feature_recipe(CONFIGURATION, CONFIGURATION.feature(DATASET, "clip_tiny"))
    assert not recipe.keys() & {"description", "dim", "used_by", "runtime"}


def test_a_stride_is_a_simple_fraction():
    assert [seconds(1 / 6), seconds("0.96"), seconds(2)] == ["1/6 s", "24/25 s", "2 s"]
