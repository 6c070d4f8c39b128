"""Handlers of parity cases run cases of the same form with other names, options and shapes.

The neighbours are made by our own code: what is tested is that a handler takes everything from the case.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from models.encoders import i3d
from models.encoders.networks.clip_inputs import mel_picture, mel_spectrogram
from models.systems.img.targets import span_to_steps, steps_to_seconds
from models.systems.mrnet.candidates import candidate_cells
from models.weights import seeded_state
from tests.decoded import decoded
from tests.parity import (
    hirest_cases,
    img_postproc_cases,
    mrnet_cases,
    preprocess_cases,
    qvh_cases,
    sampling_cases,
    span_index_cases,
    uniq4cap_tower_cases,
    windowed_network_cases,
)
from tests.parity.input_recipe import blocky, frames_of
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.resize import resize_for
from workflow_scripts.lib.media.sampling import plan_frames
from workflow_scripts.lib.media.sparse_sampling import linspace_frames

CLIPS = Path(__file__).parents[1] / "goldens/extractors/sampling/clips"


def run_all(handler, folder: Path, data_path: Path | None = None) -> list[str]:
    """Run the checks of a folder and return their names."""
    assert handler.claims(folder)
    checks = handler.checks(folder)
    for check in checks:
        check.run(data_path)
    return [check.name for check in checks]


@pytest.mark.parametrize(
    ("recipe", "args"),
    [
        ("blocky(seed*10+T, T,32,48,2) -> x/255*2-1", (75, 5, 32, 48, 2)),
        ("blocky(seed*10+T+1000,T,32,48,3) with seed=weight_seed-4", (1035, 5, 32, 48, 3)),
        ("for b in range(B): blocky(seed*10+b,6,32,48); x/255", (72, 6, 32, 48)),
        ("blocky(weight_seed*100,1,16,16)[0] as RGB HWC", (700, 1, 16, 16)),
    ],
)
def test_the_recipe_of_frames_is_read_from_the_case(recipe, args):
    case = {"weight_seed": 7, "input": recipe}
    np.testing.assert_array_equal(frames_of(case, b=2, n_frames=5), blocky(*args))


@pytest.fixture(scope="module")
def i3d_case():
    """An I3D of another name, number of classes and size of frames, with class scores of several windows."""
    case = {
        "T": [24],
        "arch": "InceptionI3d(157 classes, in_channels=2)",
        "bn_eps": 1e-3,
        "gain": 2.0,
        "input": "blocky(seed*7+T,T,48,32,2)",
        "weight_seed": 5,
    }
    state = seeded_state(windowed_network_cases.i3d_shapes(2, 157, "piergiaj"), 5, 2.0)
    config = i3d.Config(modality="flow", flow_from="images", n_classes=157)
    encoder = i3d.load(config, state, "cpu")
    rows = encoder.encode(blocky(59, 24, 48, 32, 2)[None])
    scores = encoder.network.classify(torch.from_numpy(rows))[0].numpy()
    return case | {"n_state_dict_keys": len(state)}, {
        "features_T24": np.ascontiguousarray(rows[0]),
        "logits_T24": np.ascontiguousarray(scores),
    }


def test_an_i3d_of_another_name_and_number_of_classes_is_compared_window_by_window(i3d_case, tmp_path):
    case, tensors = i3d_case
    assert len(tensors["logits_T24"]) == 2
    (tmp_path / "cases.json").write_text(json.dumps({"charades_motion": case}))
    save_file(tensors, tmp_path / "charades_motion.safetensors")
    assert run_all(windowed_network_cases, tmp_path) == ["charades_motion-24-frames"]
    tensors["logits_T24"][1, 3] += 1
    with pytest.raises(AssertionError):
        windowed_network_cases.check_i3d(case, tensors, 24)


def test_pictures_of_other_sizes_and_frames_of_other_videos_are_found_by_their_names(tmp_path):
    (tmp_path / "data/videos").mkdir(parents=True)
    for name in ("cfr30_4s.mp4", "cfr25_5s.mp4"):
        shutil.copy(CLIPS / name, tmp_path / "data/videos" / name)
    path = CLIPS / "cfr25_5s.mp4"
    chosen = plan_frames({"rule": "lavis_uniform", "n_frames": 4}, frame_times(path)).frame_idx
    frames = np.stack(list(decoded(path, chosen, {"rule": "squash", "size": 224})))
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    tensors = {
        "mine__input_rgb": picture,
        "mine__clip_pil32": resize_for({"rule": "clip_pil", "size": 32}, 70, 50).finish(picture),
        "lavis_uniform4__indices": chosen,
        "lavis_uniform4__grid4x4": preprocess_cases.block_means(frames, 4).astype(np.float32),
    }
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, tmp_path / preprocess_cases.FILE)
    found = run_all(preprocess_cases, tmp_path, tmp_path / "data")
    assert found == ["lavis_uniform4__grid4x4", "mine__clip_pil32"]


def test_a_tensor_that_nobody_knows_fails(tmp_path):
    save_file({"mine__other_rule32": np.zeros(1)}, tmp_path / preprocess_cases.FILE)
    with pytest.raises(AssertionError, match="mine__other_rule32"):
        run_all(preprocess_cases, tmp_path)


def test_frames_that_another_decoder_missed_do_not_hide_the_other_tables(tmp_path):
    tables = {
        "clips": {},
        "slowfast_clip_index": {},
    }
    row = {"indices": [1, 2], "frames": [1, 1]}
    tables["clips"]["a.mp4"] = {
        "n_frames": 3,
        "ffmpeg_fps_filter": {},
        "cv2_seek_1fps": [],
        "decord_head": {"2": row},
        "decord_uniform": {},
    }
    (tmp_path / "clips").mkdir()
    (tmp_path / "tables.json").write_text(json.dumps(tables))
    assert "a.mp4-head-2" in [check.name for check in sampling_cases.checks(tmp_path)]


def test_masks_of_candidates_of_any_grid():
    counts = {16: (15,), 32: (15, 8), 64: (15, 8, 8)}
    meta, tensors = {}, {}
    for n, parts in counts.items():
        mask = torch.zeros(n, n)
        mask[tuple(candidate_cells(n, parts).T)] = 1
        meta[f"mask2d_{n}_count"], tensors[f"mask2d.{n}"] = int(mask.sum()), mask
    mrnet_cases.check_candidates(mrnet_cases.Units(meta, tensors))
    tensors["mask2d.32"][0, 31] = 1 - tensors["mask2d.32"][0, 31]
    with pytest.raises(AssertionError):
        mrnet_cases.check_candidates(mrnet_cases.Units(meta, tensors))


def test_videos_of_score_maps_have_the_names_of_the_case():
    maps = [[torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0)).triu()]] * 2
    meta = {"metrics": {"R@1,IoU@0.5": 0.0}, "results_json": {"holiday": {"idx": 0, "sentences": ["swims", "dives"]}}}
    scores = mrnet_cases.evaluated_maps([8.0], maps, [torch.tensor([[0.0, 4.0], [2.0, 6.0]])], meta, 0.5, 0.5)
    assert scores.results["holiday"]["sentences"] == ["swims", "dives"]


def test_annotations_are_those_with_the_queries_of_the_case(tmp_path):
    data = tmp_path / "data/annotations"
    for name, text in {
        "a/other_qid.txt": "V0 1.0 4.0##qid_7##a person runs.\n",
        "b/mine_qid.txt": "V0 1.0 4.0##qid_3##a person runs.\nV1 2.0 90.0##qid_9##someone sits down.\n",
        "charades_sta/charades.json": json.dumps({"V0": {"duration": 10.5}, "V1": {"duration": 30.0}}),
    }.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(text)
    spans = [(1.0, 4.0, 10.5, 11), (2.0, 30.0, 30.0, 24)]
    steps = [span_to_steps(start, end, n, duration) for start, end, duration, n in spans]
    rows = [(3, 11, *steps[0], 4), (9, 24, *steps[1], 4)]
    save_file({"real_annotations": np.array(rows, np.int32)}, tmp_path / "postproc.safetensors")
    back = [steps_to_seconds(*s, n, duration) for s, (_, _, duration, n) in zip(steps, spans, strict=True)]
    iou = [img_postproc_cases.hull_iou(b, span[:2]) for b, span in zip(back, spans, strict=True)]
    truth = {"r1i1": 100.0, "r1i5": 100.0 * np.mean([v >= 0.5 for v in iou]), "miou": 100 * float(np.mean(iou))}
    (tmp_path / "postproc.json").write_text(json.dumps({"oracle_on_real_annotations": truth}))
    assert run_all(img_postproc_cases, tmp_path, tmp_path / "data") == ["oracle_on_real_annotations"]


def test_front_ends_of_other_sounds_rates_and_numbers_of_frames(tmp_path):
    wave = 0.1 * torch.randn(1, 180_000, generator=torch.Generator().manual_seed(0)).half()
    picture = mel_picture(mel_spectrogram(wave.float()), draw=np.random.RandomState(8))
    tensors = {"rain.wave_fp16": wave.numpy(), "rain.out_subsampled": picture[:, ::8, ::16].contiguous().numpy()}
    short = 0.1 * torch.randn(1, 9_000, generator=torch.Generator().manual_seed(1))
    mel = mel_spectrogram(short)
    tensors |= {"wind.wave": short.numpy(), "wind.fbank": mel.numpy()}
    tensors["wind.out_ch0"] = mel_picture(mel)[0].contiguous().numpy()
    save_file(tensors, tmp_path / "frontend_and_aux.safetensors")
    table = {str(n): linspace_frames(n, 4).tolist() for n in (1, 9, 100)}
    meta = {"frame_indices_4": table, "rain": {"np_seed": 8}}
    (tmp_path / "frontend_and_aux_meta.json").write_text(json.dumps(meta))
    case = uniq4cap_tower_cases._FrontEnds(tmp_path)
    case.check_frame_indices()
    case.check_mel()
    meta["rain"]["np_seed"] = 9
    case.meta = meta
    with pytest.raises(AssertionError):
        case.check_mel()


def test_cases_in_other_sub_folders_of_metrics_are_told_by_their_content(tmp_path):
    for name in ("metrics/set2", "metrics/hirest"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "a.expected.json").write_text("{}")
        (folder / "a.preds.jsonl").write_text('{"qid": 1, "vid": "v", "pred_relevant_windows": []}\n')
    assert qvh_cases.claims(tmp_path / "metrics/set2")
    assert not qvh_cases.claims(tmp_path / "metrics/hirest")
    (tmp_path / "metrics/set2/b.expected.json").write_text("{}")
    (tmp_path / "metrics/set2/b.pred.json").write_text("{}")
    assert hirest_cases.claims(tmp_path / "metrics/set2")


def test_indices_are_scored_at_the_thresholds_of_the_case(tmp_path):
    row = {"duration": 10.0, "gt_raw": [2.0, 4.0], "gt_used": [2.0, 4.0], "v_len": 10, "iou": 1 / 3}
    row |= {"target_start_index": 2, "target_end_index": 3, "pred_start_index": 2, "pred_end_index": 7}
    row |= {"pred_start": 2.0, "pred_end": 8.0}
    expected = {"metrics": {"R1@0.1": 100.0, "R1@0.9": 0.0, "mIoU": 100 / 3, "n": 1}}
    (tmp_path / "a.rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "a.expected.json").write_text(json.dumps(expected))
    assert len(run_all(span_index_cases, tmp_path)) == 3
