"""From a feature file to rows of windows: clips, resizing, rows per unit, further networks, stored components."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.fit_pca import fit
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import feature_recipe
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.frames_seen import require_frames
from workflow_scripts.lib.extraction.job import computed_rows, divided_times
from workflow_scripts.lib.extraction.networks import load_encoder, missing_weights
from workflow_scripts.lib.extraction.settings import feature_settings
from workflow_scripts.lib.media.resize import resize_for
from workflow_scripts.lib.media.sampling import FrameTimes, plan_frames
from workflow_scripts.lib.planning.plan import Plan

CONFIG = Path(__file__).resolve().parents[2] / "config"
MEDIA = FrameTimes(np.arange(90), Fraction(1, 30), 0, 90, 3.0, True, Fraction(30))
SMALL = ["beats_tiny", "c3d_tiny", "i3d_tiny", "languagebind_audio_tiny", "languagebind_video_tiny", "slowfast_tiny"]


def configuration(**features):
    return Configuration({"features": features}, CONFIG)


@pytest.mark.parametrize("name", SMALL)
def test_small_variants_have_random_weights_and_load(name):
    assert load_encoder(feature_settings(configuration(), "demo", name)).dim > 0


def test_a_clip_of_the_whole_video_is_one_row():
    plan = plan_frames({"rule": "linspace_clip", "n_frames": 8}, MEDIA)
    assert plan.frame_idx.tolist() == [0, 12, 25, 38, 50, 63, 76, 89]
    assert plan.times.tolist() == [[0.0, 3.0]]
    assert plan.frames_per_row.tolist() == [8]


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        ({"rule": "vf_i3d_whole", "size": 224}, (256, 341)),
        ({"rule": "vf_i3d", "size": 224}, (224, 224)),
        ({"rule": "c3d", "size": 112}, (112, 112)),
        (None, (360, 480)),
    ],
)
def test_frames_come_out_in_the_size_of_the_rule(rule, shape):
    frame = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    assert resize_for(rule, 480, 360).finish(frame).shape == (*shape, 3)


def test_the_whole_frame_holds_the_cut():
    frame = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    whole, cut = (
        resize_for({"rule": name, "size": 224}, 480, 360).finish(frame) for name in ("vf_i3d_whole", "vf_i3d")
    )
    np.testing.assert_array_equal(whole[16:240, 58:282], cut)


def test_c3d_scales_to_171_by_128_and_cuts_the_centre():
    found = resize_for({"rule": "c3d", "size": 112}, 640, 360)
    assert (found.width, found.height, found.left, found.top) == (171, 128, 29, 8)


def test_rows_of_a_unit_share_its_time_in_equal_parts():
    times = divided_times(np.array([[0.0, 1.0], [1.0, 4.0]]), [2, 1])
    assert times.tolist() == [[0.0, 0.5], [0.5, 1.0], [1.0, 4.0]]
    found = computed_rows("a", [np.ones((2, 3)), np.zeros(3)], np.array([[0.0, 1.0], [1.0, 4.0]]), 3, None)
    assert found.values.tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert found.times.tolist() == times.tolist()
    nothing = computed_rows("b", [], np.zeros((0, 2)), 3, None)
    assert (nothing.values.shape, nothing.times.shape) == ((0, 3), (0, 2))


def test_where_a_unit_gives_one_row_its_times_stay_as_they_are():
    uncut = np.cumsum(np.full((5, 2), 1 / 3), axis=0)
    np.testing.assert_array_equal(divided_times(uncut, [1] * 5), [np.linspace(*span, 2) for span in uncut])
    with pytest.raises(ValueError, match="shorter"):
        divided_times(uncut, [1] * 4)


def test_a_window_that_is_too_short_fails_its_video_only():
    require_frames([9, 16], 9)
    require_frames(None, 1)
    require_frames([], 9)
    with pytest.raises(UserError, match=r"a window has 8 frame\(s\), the network needs 9; the video is too short"):
        require_frames([16, 8], 9)


def test_further_weights_stand_in_recipe_settings_and_inputs():
    found = configuration()
    flow = found.feature("demo", "i3d_video_features_flow")
    assert feature_recipe(found, flow)["more_weights"] == {"raft": "0b8c9e55"}
    assert feature_settings(found, "demo", "i3d_video_features_flow")["more_weights"]["raft"]["name"] == "raft_large"
    assert "more_weights" not in feature_recipe(found, found.feature("demo", "i3d_kinetics"))
    files = [Path(path).name for path in Plan({}, CONFIG).features.weights("demo", "i3d_video_features_flow")]
    assert files == ["model_flow.pth", "raft_large_C_T_SKHT_V1-0b8c9e55.pth"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"flow": "raft_large"}, r"more_weights\.flow: encoder 'i3d' has no such network; did you mean|Known: raft"),
        ({"raft": "raft_larg"}, r"more_weights\.raft: unknown weights 'raft_larg'; did you mean \"raft_large\""),
    ],
)
def test_unknown_further_networks_and_weights_are_named(more, message):
    with pytest.raises(UserError, match=message):
        configuration(i3d_kinetics={"more_weights": more}).feature("demo", "i3d_kinetics")
    with pytest.raises(UserError, match="encoder 'slowfast' has no such network; it has one network"):
        configuration(slowfast_r50={"more_weights": {"raft": "random(0)"}}).feature("demo", "slowfast_r50")


def test_weights_without_an_address_say_where_a_person_gets_them():
    weights = feature_settings(configuration(), "demo", "uniq4cap_beats")["weights"]
    assert "Put the file there: the authors share BEATs_iter3+" in missing_weights(weights)
    with pytest.raises(UserError, match="Put the file there: the authors share BEATs_iter3"):
        Plan({}, CONFIG).downloads.weights_named("BEATs_iter3_plus_AS2M.pt")


def test_principal_components_are_orthonormal_centred_and_seeded():
    rows = np.random.default_rng(0).normal(size=(200, 12)).astype(np.float32) * np.arange(1, 13) + 5
    found, again = fit(rows, 4, 0), fit(rows, 4, 0)
    np.testing.assert_allclose(found["mean"], rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["components"] @ found["components"].T, np.eye(4), atol=1e-5)
    assert np.array_equal(found["components"], again["components"])
    projected = (rows - found["mean"]) @ found["components"].T
    values = np.linalg.svd(rows - rows.mean(0), compute_uv=False)[:4]
    np.testing.assert_allclose(np.linalg.norm(projected, axis=0), values, rtol=1e-4)
    with pytest.raises(UserError, match="13 components need as many rows and columns"):
        fit(rows, 13, 0)
