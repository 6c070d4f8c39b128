"""The complete published annotation files give the published counts; needs a folder of them (`--data DIR`)."""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from workflow_scripts.lib.datasets.annotation_tables import add_flags, write_annotations
from workflow_scripts.lib.datasets.charades_ids import charades_qid_map
from workflow_scripts.lib.datasets.errors import BadValue
from workflow_scripts.lib.datasets.item_files import join_items
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.datasets.schema import MOMENTS, QUERIES, TABLES, VIDEOS, moments_view, videos_view
from workflow_scripts.lib.datasets.source_files import read_json
from workflow_scripts.lib.datasets.validation import count_flags, validate_annotations

STA, ACTIVITYNET, SPEECH = "charades_sta", "activitynet_captions", "activitynet_speech"
END = "moments end_past_duration"
CHARADES_JSON = {"durations": f"{STA}/charades.json"}
CHARADES_CSV = {
    "durations_train": f"{STA}/Charades_v1_train.csv",
    "durations_test": f"{STA}/Charades_v1_test.csv",
}
CHARADES = {"train": f"{STA}/charades_sta_train.txt", "test": f"{STA}/charades_sta_test.txt"}
CHARADES_QID = {"train": f"{STA}/charades_sta_train_qid.txt", "test": f"{STA}/charades_sta_test_qid.txt"}
TVR = {"train": f"{STA}/charades_sta_train_tvr_format.jsonl", "test": f"{STA}/charades_sta_test_tvr_format.jsonl"}
MMN = {"train": f"{STA}/mmn/charades_train.json", "test": f"{STA}/mmn/charades_test.json"}
CALCE = {"train": f"{STA}/calce/train.json", "test": f"{STA}/calce/test.json"}
HIREST = {split: f"hirest/all_data_{split}.json" for split in ("train", "val", "test")}
PAST_END = ("moments end_past_duration", "steps end_past_duration")
HIREST_STEPS = {"test_steps": "hirest/formatted_moment_evaluation_gt.json"}
TACOS = {split: f"tacos/{split}.json" for split in ("train", "val", "test")}

# dataset, format, files, {split: (videos, queries, moments, {flag: count})}
TEXT_COUNTS = {"train": (5338, 12408, 12408, {END: 1802}), "test": (1334, 3720, 3720, {END: 562})}
TVR_COUNTS = {"train": (5336, 12404, 12404, {}), "test": (1334, 3720, 3720, {})}
TACOS_COUNTS = {
    "train": (75, 9790, 9790, {END: 43}),
    "val": (27, 4436, 4436, {}),
    "test": (25, 4001, 4001, {END: 5}),
}
EXPECTED = {
    "qvh": (
        "qvhighlights",
        {
            "train": "qvhighlights/highlight_train_release.jsonl",
            "val": "qvhighlights/highlight_val_release.jsonl",
            "test": "qvhighlights/highlight_test_with_gt.jsonl",
        },
        {"train": (7100, 7218, 12803, {}), "val": (1519, 1550, 2803, {}), "test": (1529, 1542, 2761, {})},
    ),
    "qvh without test labels": (
        "qvhighlights",
        {"test": "qvhighlights/highlight_test_release.jsonl"},
        {"test": (1529, 1542, 0, {})},
    ),
    "qvh, CALCE files": (
        "calce",
        {"train": "qvhighlights/calce/train.json", "val": "qvhighlights/calce/val_stage2.json"},
        {"train": (7100, 7218, 12803, {}), "val": (1519, 1550, 2803, {})},
    ),
    "charades": ("charades_txt", CHARADES_QID | CHARADES_JSON, TEXT_COUNTS),
    "charades, plain text and official durations": ("charades_txt", CHARADES | CHARADES_CSV, TEXT_COUNTS),
    "charades, original training text": (
        "charades_txt",
        {"train": f"{STA}/tan/charades_sta_train.txt", **CHARADES_JSON},
        {
            "train": (
                5338,
                12408,
                12408,
                {"moments reversed": 4, "moments start_past_duration": 3, END: 1805},
            )
        },
    ),
    "charades_tvr": ("charades_tvr", TVR, TVR_COUNTS),
    "charades_tvr, MMN files": ("charades_tvr", MMN, TVR_COUNTS),
    "charades_tvr, CALCE files": (
        "calce",
        CALCE,
        {"train": TVR_COUNTS["train"], "test": (1334, 3720, 3720, {END: 278})},
    ),
    "charades_am": (
        "charades_txt",
        {"test": "charades_audiomatter/charades_audiomatter_qid.txt", **CHARADES_JSON},
        {"test": (592, 1196, 1196, {END: 197})},
    ),
    "charades_am, plain text": (
        "charades_txt",
        {"test": "charades_audiomatter/charades_audiomatter.txt", **CHARADES_JSON},
        {"test": (592, 1196, 1196, {END: 197})},
    ),
    "charades_am, tvr lines": (
        "charades_tvr",
        {"test": "charades_audiomatter/charades_audiomatterhao_tvr_format.json"},
        {"test": (592, 1196, 1196, {})},
    ),
    "activitynet": (
        "activitynet_captions",
        {"train": f"{ACTIVITYNET}/train.json", "val_1": f"{ACTIVITYNET}/val.json", "val_2": f"{ACTIVITYNET}/test.json"},
        {
            "train": (10009, 37421, 37421, {END: 261, "moments zero_length": 2, "moments reversed": 2}),
            "val_1": (4917, 17505, 17505, {END: 134}),
            "val_2": (4885, 17031, 17031, {END: 111}),
        },
    ),
    "activitynet, IMG files": (
        "activitynet_captions",
        {"val_1": f"{ACTIVITYNET}/val_1_qid.json", "val_2": f"{ACTIVITYNET}/val_2_qid.json"},
        {"val_1": (4916, 17502, 17502, {END: 134}), "val_2": (4884, 17028, 17028, {END: 111})},
    ),
    "activitynet, lighthouse lines": (
        "activitynet_captions",
        {"val": f"{ACTIVITYNET}/lighthouse/activitynet_val_release.jsonl"},
        {"val": (4917, 17505, 17505, {END: 5})},
    ),
    "activitynet_speech": (
        "spoken_queries",
        {
            "val": f"{SPEECH}/spoken_video_grounding/new_val_data.json",
            "test": f"{SPEECH}/spoken_video_grounding/new_test_data.json",
        },
        {"val": (4917, 17505, 17505, {END: 5}), "test": (4885, 17031, 17031, {END: 1})},
    ),
    "activitynet_speech, MRNet file": (
        "spoken_queries",
        {"test": f"{SPEECH}/mrnet/test_audio_new.json"},
        {"test": (4885, 17031, 17031, {END: 1})},
    ),
    "tacos": ("tacos", TACOS, TACOS_COUNTS),
    "tacos, lighthouse lines": (
        "tacos",
        {split: f"tacos/lighthouse/tacos_{split}_release.jsonl" for split in TACOS},
        {split: (*counts[:3], {}) for split, counts in TACOS_COUNTS.items()},
    ),
    "tacos_speech": (
        "spoken_queries",
        {split: f"tacos/mrnet/{split}_audio_new.json" for split in TACOS},
        TACOS_COUNTS,
    ),
    "charades_speech": (
        "spoken_queries",
        {split: f"{STA}/mrnet/{split}_audio_new.json" for split in ("train", "test")},
        TVR_COUNTS,
    ),
    "hirest": (
        "hirest",
        HIREST | HIREST_STEPS,
        {
            "train": (1507, 1507, 865, {"moments zero_length": 1, "steps zero_length": 15}),
            "val": (477, 477, 193, {"steps zero_length": 3}),
            "test": (1391, 1391, 0, {}),
            "test_steps": (507, 507, 507, dict.fromkeys(PAST_END, 2) | {"steps zero_length": 8}),
        },
    ),
}


@pytest.fixture(scope="module")
def originals(request):
    """Folder with one folder of published annotation files per dataset."""
    folder = request.config.getoption("--data")
    if folder is None:
        pytest.skip("the published annotation files are not in this repository; give a folder of them with --data DIR")
    found = folder / "annotations"
    if not found.is_dir():
        pytest.skip(f"{folder}: no folder annotations/ in it")
    return found


@cache
def imported(originals: Path, case: str):
    """Tables of a case, checked."""
    source_format, files, _ = EXPECTED[case]
    found = read_annotations(
        source_format, {split: originals / name for split, name in files.items()}, case.split(",")[0].split(" ")[0]
    )
    add_flags(found)
    validate_annotations(found)
    return found


def counts_of(found, split):
    """Videos, queries, moments and flags of one split."""
    moments = [row for row in found.moments if row["split"] == split]
    flags = Counter(f"moments {flag}" for row in moments for flag in row["flags"])
    flags.update(f"steps {flag}" for row in found.steps if row["split"] == split for flag in row["flags"])
    return (
        sum(split in row["split"] for row in found.videos),
        sum(row["split"] == split for row in found.queries),
        len(moments),
        dict(flags),
    )


@pytest.mark.parametrize("case", EXPECTED)
def test_the_files_give_the_published_counts(originals, case):
    found = imported(originals, case)
    expected = EXPECTED[case][2]
    assert {split: counts_of(found, split) for split in expected} == expected
    total = Counter()
    for _, _, _, flags in expected.values():
        total.update(flags)
    assert count_flags(found) == total


def test_the_tables_are_written_with_all_columns(originals, tmp_path):
    write_annotations(tmp_path, imported(originals, "tacos"), {"importer": "tacos 1"})
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(TABLES)


def table(rows, schema):
    return pa.Table.from_pylist(rows, schema)


def ids(originals, case, split):
    return [row["query_id"] for row in imported(originals, case).queries if row["split"] == split]


# Charades-STA


def test_charades_ids_run_through_both_splits(originals):
    assert ids(originals, "charades", "train")[::12407] == ["charades/train/qid_0", "charades/train/qid_12407"]
    assert ids(originals, "charades", "test")[::3719] == ["charades/test/qid_12408", "charades/test/qid_16127"]
    assert ids(originals, "charades_tvr", "test")[::3719] == ["charades_tvr/test/12404", "charades_tvr/test/16123"]


def test_the_two_charades_numberings_meet(originals):
    text, tvr = (table(imported(originals, case).queries, QUERIES) for case in ("charades", "charades_tvr"))
    rows = charades_qid_map(text, tvr).to_pylist()
    assert len(rows) == 12408 + 3720
    offsets = Counter()
    for number, row in enumerate(rows):
        assert row["text_source_id"] == f"qid_{number}"
        offsets[number - int(row["tvr_source_id"]) if row["tvr_source_id"] else None] += 1
    lost = {row["text_source_id"]: row["video_id"] for row in rows if row["tvr_source_id"] is None}
    assert lost == {"qid_8251": "LEOL6", "qid_8439": "IOL8Q", "qid_9622": "AKKWU", "qid_9623": "AKKWU"}
    assert offsets == {None: 4, 0: 8251, 1: 8438 - 8251, 2: 9621 - 8439, 4: len(rows) - 9624}


def test_tvr_windows_are_the_clipped_text_windows(originals):
    text, tvr = imported(originals, "charades"), imported(originals, "charades_tvr")
    views = {
        "text": moments_view(table(text.moments, MOMENTS), table(text.videos, VIDEOS), "clip"),
        "tvr": table(tvr.moments, MOMENTS),
    }
    spans = {
        name: [(row["video_id"], row["start_s"], row["end_s"]) for row in view.to_pylist() if row["split"] == "test"]
        for name, view in views.items()
    }
    assert spans["text"] == spans["tvr"]


def test_calce_files_are_the_rounded_view_of_the_tvr_files(originals):
    tvr, calce = imported(originals, "charades_tvr"), imported(originals, "charades_tvr, CALCE files")
    videos = table(tvr.videos, VIDEOS)
    rounded = videos_view(videos, "calce_round")["duration_s"].to_pylist()
    assert rounded == [row["duration_s"] for row in calce.videos]
    view = moments_view(table(tvr.moments, MOMENTS), videos, "calce_round").to_pylist()
    pairs = list(zip(view, calce.moments, strict=True))
    assert all((a["start_s"], a["end_s"]) == (b["start_s"], b["end_s"]) for a, b in pairs if a["split"] == "train")
    assert sum(row["end_s"] > row["end_s"] // 1 for row in calce.moments if row["split"] == "test") > 0
    assert all(row["items"] for row in calce.queries)


def test_audiomatter_is_a_part_of_the_charades_test_split(originals):
    whole = {row["source_query_id"]: row for row in imported(originals, "charades").queries if row["split"] == "test"}
    for row in imported(originals, "charades_am").queries:
        original = whole[row["source_query_id"]]
        assert (row["video_id"], row["text"]) == (original["video_id"], original["text"])
    numbers = sorted(int(row["source_query_id"][4:]) - 4 for row in imported(originals, "charades_am").queries)
    assert numbers == [int(row["source_query_id"]) for row in imported(originals, "charades_am, tvr lines").queries]


def test_all_charades_durations_are_the_same_in_both_sources(originals):
    by_json, by_csv = (
        {row["video_id"]: row["duration_s"] for row in imported(originals, case).videos}
        for case in ("charades", "charades, plain text and official durations")
    )
    assert by_json == by_csv


# ActivityNet, TACoS and their spoken forms


def test_activitynet_validation_splits_share_videos_and_no_sentence_id(originals):
    found = imported(originals, "activitynet")
    shared = [row for row in found.videos if row["split"] == ["val_1", "val_2"]]
    assert len(shared) == 4885
    assert all(len(row["youtube_id"]) == 11 and f"v_{row['youtube_id']}" == row["source_video_id"] for row in shared)
    by_img = imported(originals, "activitynet, IMG files").queries
    assert [int(row["source_query_id"].removeprefix("qid_")) for row in by_img] == list(range(37421, 71951))


def test_spoken_activitynet_pairs_are_the_captions(originals):
    written = {
        split: {(row["video_id"], row["ordinal"]): row["text"] for row in rows}
        for split, rows in by_split(imported(originals, "activitynet").queries).items()
    }
    for split, rows in by_split(imported(originals, "activitynet_speech").queries).items():
        captions = written[{"val": "val_1", "test": "val_2"}[split]]
        assert {(row["video_id"], row["ordinal"]): row["text"] for row in rows} == captions


def by_split(rows):
    found = {}
    for row in rows:
        found.setdefault(row["split"], []).append(row)
    return found


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("charades_speech", "charades_tvr, MMN files"),
        ("tacos_speech", "tacos"),
        ("activitynet_speech, MRNet file", "activitynet"),
    ],
)
def test_the_number_in_an_audio_name_is_the_place_in_the_captions(originals, spoken, written):
    captions = {
        (row["split"], row["video_id"], row["ordinal"]): row["text"] for row in imported(originals, written).queries
    }
    for row in imported(originals, spoken).queries:
        name = re.fullmatch(r"(.+)_(train|val|test|val_1|val_2)_(\d+)\.wav", row["audio_path"])
        assert name[1] == row["video_id"]
        split = "val_2" if written == "activitynet" else row["split"]
        assert captions[split, row["video_id"], int(name[3]) - 1] == row["text"]


def test_synthesised_queries_name_their_voice(originals):
    for case in ("charades_speech", "tacos_speech"):
        for row in imported(originals, case).queries:
            assert row["modality"] == "speech"
            assert row["speaker"].startswith("cmu_us_")
            assert 0 <= row["speaker_index"] <= 7926
    assert all(row.get("speaker") is None for row in imported(originals, "activitynet_speech").queries)


def test_tacos_times_are_frames_and_repeated_rows_stay(originals):
    found = imported(originals, "tacos")
    assert {row["fps"] for row in found.videos} == {29.4}
    assert {row["raw_unit"] for row in found.moments} == {"frame"}
    text = {row["query_id"]: row["text"] for row in found.queries}
    repeated = {}
    for split, rows in by_split(found.moments).items():
        seen = Counter((row["video_id"], row["start_raw"], row["end_raw"], text[row["query_id"]]) for row in rows)
        repeated[split] = sum(count - 1 for count in seen.values())
    assert repeated == {"train": 1201, "val": 516, "test": 567}
    assert sum(row["text"] != row["text"].strip() for row in found.queries) == 53


# QVHighlights and HiREST


def test_qvhighlights_queries_with_more_than_ten_windows(originals):
    found = imported(originals, "qvh")
    windows = Counter((row["split"], row["query_id"]) for row in found.moments)
    assert Counter(split for (split, _), count in windows.items() if count > 10) == {"train": 50, "val": 13, "test": 12}
    assert max(windows.values()) == 25
    short = Counter(row["split"] for row in found.moments if 0 < row["end_s"] - row["start_s"] <= 10)
    assert short == {"train": 4774, "val": 1130, "test": 1079}


def test_calce_windows_of_qvhighlights_are_the_original_ones(originals):
    def windows(case, prefix):
        rows = [row for row in imported(originals, case).moments if row["split"] == "val"]
        return [(row["query_id"].removeprefix(prefix), row["start_s"], row["end_s"]) for row in rows]

    assert windows("qvh, CALCE files", "qvh/val/QVHighlight_") == windows("qvh", "qvh/val/")
    row = next(row for row in imported(originals, "qvh, CALCE files").queries if row["split"] == "val")
    assert json.loads(row["extra_json"]) == {"stage1_result": [[120, 150]]}


def test_the_corpus_of_hirest(originals):
    """1,391 videos of the test split and 2,891 about which nothing is said."""
    files = {"test": "all_data_test.json", "test_negatives": "all_data_test_negative_samples.json"}
    paths = {name: originals / "hirest" / file for name, file in files.items()}
    found = read_annotations("hirest", paths, "hirest_corpus")
    assert len(found.videos) == 4282
    assert {tuple(row["split"]) for row in found.videos} == {("test",)}
    assert sum(row["duration_s"] is None for row in found.videos) == 2891
    assert len({row["text"] for row in found.queries}) == 546


def test_hirest_steps(originals):
    found = imported(originals, "hirest")
    assert Counter(row["split"] for row in found.steps) == {"train": 4145, "val": 606, "test_steps": 3856}
    with_steps = {(row["split"], row["video_id"]) for row in found.steps}
    assert Counter(split for split, _ in with_steps) == {"train": 550, "val": 78, "test_steps": 507}
    clippable = Counter(row["split"] for row in found.queries if row["clippable"])
    assert clippable == {"train": 865, "val": 193, "test": 776, "test_steps": 507}
    blank = Counter(row["split"] for row in found.steps if row["text"] != row["text"].strip())
    assert blank == {"train": 636, "val": 62, "test_steps": 588}


@pytest.mark.parametrize(
    ("case", "items", "n_joined"),
    [
        ("qvh", [f"qvhighlights/calce/{name}_stage2.json" for name in ("train", "val", "test_dummy")], 10310),
        ("charades_tvr", list(CALCE.values()), 16124),
        ("charades", list(CALCE.values()), 16124),
    ],
)
def test_published_noun_phrases_find_their_queries(originals, case, items, n_joined):
    source_format, files, _ = EXPECTED[case]
    found = read_annotations(source_format, {split: originals / name for split, name in files.items()}, case)
    assert join_items(found, [originals / name for name in items]) == n_joined
    assert sum(bool(row.get("items")) for row in found.queries) == n_joined


def test_noun_phrases_without_sentences_are_refused_for_the_other_numbering(originals, tmp_path):
    entries = read_json(originals / CALCE["test"])
    bare = {entry["qid"]: {"items": entry["items"]} for entry in entries}
    (tmp_path / "items.json").write_text(json.dumps(bare))
    found = read_annotations("charades_tvr", {"test": originals / TVR["test"]}, "charades_tvr")
    for row in found.queries:
        row["source_query_id"] = str(int(row["source_query_id"]) + 4)
    with pytest.raises(BadValue, match="another family"):
        join_items(found, [tmp_path / "items.json"])
