"""Source files become rows; what is wrong with a file is named with its place."""

import csv
import gzip
import json

import pytest

from workflow_scripts.lib.datasets import errors
from workflow_scripts.lib.datasets.annotation_tables import add_flags
from workflow_scripts.lib.datasets.demo.event_plan import plan_demo
from workflow_scripts.lib.datasets.demo.sources import source_files, write_sources
from workflow_scripts.lib.datasets.readers import known_formats, read_annotations, splits_named
from workflow_scripts.lib.datasets.validation import validate_annotations

QVH = {
    "qid": 2579,
    "query": "A girl cooks.",
    "duration": 150,
    "vid": "NU_G9BgSes0_210.0_360.0",
    "relevant_windows": [[82, 86], [100, 102]],
    "relevant_clip_ids": [41, 42, 50],
    "saliency_scores": [[1, 1, 2], [1, 1, 3], [4, 4, 4]],
}
HIREST = {
    "Make a cake": {
        "aaaaaaaaaaa.mp4": {
            "relevant": True,
            "clip": True,
            "v_duration": 207.08,
            "bounds": [50, 121],
            "steps": [
                {"index": 0, "heading": "mix flour ", "absolute_bounds": [50, 58]},
                {"index": 1, "heading": "bake", "absolute_bounds": [58, 121]},
            ],
        },
        "bbbbbbbbbbb.mp4": {"relevant": True, "clip": False, "v_duration": 99.5, "bounds": [0, 0], "steps": []},
    }
}


def jsonl(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read_qvh(tmp_path, *records):
    return read_annotations("qvhighlights", {"train": jsonl(tmp_path / "a.jsonl", *records)}, "qvh")


def read_plain(tmp_path, text, name="queries.csv", split="test"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_annotations("plain", {split: path}, "mine")


def test_formats_are_the_modules_of_the_folder():
    assert {"hirest", "plain", "qvhighlights", "uniq4cap"} <= set(known_formats())


def test_an_unknown_format_is_answered_with_the_nearest_name(tmp_path):
    with pytest.raises(errors.UnknownFormat, match='Did you mean "qvhighlights"'):
        read_annotations("qvhighlight", {}, "x")


# QVHighlights


def test_qvhighlights_fields_arrive_unchanged(tmp_path):
    found = read_qvh(tmp_path, QVH | {"kind": "both"})
    (video,), (query,) = found.videos, found.queries
    assert (video["video_id"], video["duration_s"], video["split"]) == (QVH["vid"], 150.0, ["train"])
    assert (video["youtube_id"], video["clip_start_s"], video["clip_end_s"]) == ("NU_G9BgSes0", 210.0, 360.0)
    assert query["query_id"] == "qvh/train/2579"
    assert (query["source_query_id"], query["ordinal"], query["text"]) == ("2579", 0, "A girl cooks.")
    assert json.loads(query["extra_json"]) == {"kind": "both"}
    assert [(row["start_s"], row["end_s"], row["window_index"]) for row in found.moments] == [
        (82, 86, 0),
        (100, 102, 1),
    ]
    assert [(row["clip_index"], row["scores"]) for row in found.saliency] == [
        (41, [1, 1, 2]),
        (42, [1, 1, 3]),
        (50, [4, 4, 4]),
    ]


def test_qvhighlights_without_labels_has_queries_only(tmp_path):
    found = read_qvh(tmp_path, {key: QVH[key] for key in ("qid", "query", "duration", "vid")})
    assert (len(found.queries), found.moments, found.saliency) == (1, [], [])


def test_windows_off_the_two_second_grid_stay_as_they_are(tmp_path):
    found = read_qvh(tmp_path, QVH | {"relevant_windows": [[81.37, 83.0], [100, 102]]})
    assert found.moments[0]["start_s"] == 81.37


def test_a_gzip_file_reads_like_a_plain_one(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(QVH).encode()))
    assert read_annotations("qvhighlights", {"train": path}, "qvh").videos == read_qvh(tmp_path, QVH).videos


def test_queries_of_one_video_are_numbered_and_the_video_appears_once(tmp_path):
    found = read_qvh(tmp_path, QVH, QVH | {"qid": 1}, QVH | {"qid": 2, "vid": "x", "youtube": 1})
    assert [query["ordinal"] for query in found.queries] == [0, 1, 0]
    assert [video["video_id"] for video in found.videos] == [QVH["vid"], "x"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"query": None}, errors.BadValue, r"a\.jsonl:1:query: BadValue: found null; expected str"),
        ({"duration": "150"}, errors.BadValue, r":1:duration: .* expected int or float"),
        ({"duration": True}, errors.BadValue, ":1:duration"),
        ({"relevant_windows": [[1]]}, errors.BadValue, r"relevant_windows\[0\].*\[1\]; expected \[start, end\]"),
        ({"relevant_windows": "1-2"}, errors.BadValue, "expected list"),
        ({"saliency_scores": [[1, 1, 1]]}, errors.BadSaliency, "found 1 triples; expected 3"),
    ],
)
def test_a_bad_value_is_named_with_file_line_and_field(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        read_qvh(tmp_path, QVH | change)


@pytest.mark.parametrize("field", ["qid", "query", "duration", "vid"])
def test_a_missing_field_is_named_with_file_line_and_field(tmp_path, field):
    record = {key: value for key, value in QVH.items() if key != field}
    with pytest.raises(errors.MissingKey, match=rf"a\.jsonl:2:{field}: MissingKey"):
        read_qvh(tmp_path, QVH, record)


def test_a_line_that_is_not_json_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(QVH) + "\n\n{'qid': 1}\n")
    with pytest.raises(errors.BadSourceFile, match=r"a\.jsonl:3: BadSourceFile: found no JSON at column 2"):
        read_annotations("qvhighlights", {"train": tmp_path / "a.jsonl"}, "qvh")


def test_the_same_query_number_twice_names_both_lines(tmp_path):
    with pytest.raises(errors.DuplicateQuery, match=r"a\.jsonl:2: .* the first is in .*a\.jsonl:1"):
        read_qvh(tmp_path, QVH, QVH)


def test_two_durations_of_one_video_name_both_lines(tmp_path):
    with pytest.raises(errors.DuplicateVideo, match=r"a\.jsonl:2: .*148.* 150\.0 as in .*a\.jsonl:1"):
        read_qvh(tmp_path, QVH, QVH | {"qid": 1, "duration": 148})


def test_files_that_cannot_be_read_say_so(tmp_path):
    def read(path):
        return read_annotations("qvhighlights", {"train": path}, "qvh")

    with pytest.raises(errors.BadSourceFile, match="no such file"):
        read(tmp_path / "nothing.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}" * 99)[:-9])
    with pytest.raises(errors.BadSourceFile, match="damaged gzip"):
        read(tmp_path / "cut.jsonl.gz")
    (tmp_path / "latin.jsonl").write_bytes(b'{}\n{"query": "caf\xe9"}\n')
    with pytest.raises(errors.BadSourceFile, match=r"latin\.jsonl:2: .* not UTF-8"):
        read(tmp_path / "latin.jsonl")
    (tmp_path / "list.jsonl").write_text("[1]\n")
    with pytest.raises(errors.BadSourceFile, match="an object"):
        read(tmp_path / "list.jsonl")


# HiREST


def read_hirest(tmp_path, content, **more):
    files = {"train": tmp_path / "h.json"}
    files["train"].write_text(content if isinstance(content, str) else json.dumps(content))
    for split, extra in more.items():
        files[split] = tmp_path / f"{split}.json"
        files[split].write_text(json.dumps(extra))
    return read_annotations("hirest", files, "hirest")


def test_hirest_prompts_become_queries_of_each_video(tmp_path):
    found = read_hirest(tmp_path, HIREST)
    assert [row["query_id"] for row in found.queries] == [
        "hirest/train/Make a cake#aaaaaaaaaaa",
        "hirest/train/Make a cake#bbbbbbbbbbb",
    ]
    assert [(row["relevant"], row["clippable"]) for row in found.queries] == [(True, True), (True, False)]
    assert [row["source_video_id"] for row in found.videos] == ["aaaaaaaaaaa.mp4", "bbbbbbbbbbb.mp4"]
    assert [(row["start_s"], row["end_s"]) for row in found.moments] == [(50, 121)]
    assert [(row["step_index"], row["start_s"], row["text"]) for row in found.steps] == [
        (0, 50, "mix flour "),
        (1, 58, "bake"),
    ]
    assert json.loads(found.queries[1]["extra_json"]) == {"placeholder_bounds": [0, 0]}
    add_flags(found)
    validate_annotations(found)


def test_placeholder_bounds_of_the_test_split_are_no_moment(tmp_path):
    entry = HIREST["Make a cake"]["aaaaaaaaaaa.mp4"] | {"bounds": [0, 1], "steps": []}
    found = read_hirest(tmp_path, {"p": {"a.mp4": entry}})
    assert found.moments == []


def test_steps_published_apart_are_a_split_of_their_own(tmp_path):
    entry = HIREST["Make a cake"]["aaaaaaaaaaa.mp4"] | {"bounds": [0, 1], "steps": []}
    captions = [{"start": 1.5, "end": 2, "sentence": "stir"}, {"start": 2, "end": 4, "sentence": "bake"}]
    steps = {"a.mp4": {"captions": captions, "bounds": [[1.5, 2], [2, 4]]}}
    found = read_hirest(tmp_path, {"p": {"a.mp4": entry}}, train_steps=steps)
    query = "hirest/train_steps/p#a"
    assert [(row["split"], row["query_id"], row["start_s"], row["text"]) for row in found.steps] == [
        ("train_steps", query, 1.5, "stir"),
        ("train_steps", query, 2.0, "bake"),
    ]
    [moment] = found.moments
    assert (moment["query_id"], moment["start_s"], moment["end_s"]) == (query, 1.5, 4.0)
    assert [(row["query_id"], row["text"]) for row in found.queries] == [("hirest/train/p#a", "p"), (query, "p")]
    assert [row["split"] for row in found.videos] == [["train", "train_steps"]]
    with pytest.raises(errors.UnknownVideo, match="steps of z"):
        read_hirest(tmp_path, {"p": {"a.mp4": entry}}, train_steps={"z.mp4": {"captions": []}})


def test_negative_videos_are_in_the_corpus_and_nobody_asks_about_them(tmp_path):
    negatives = {"negative video_0": {"n.mp4": {}}, "negative video_1": {"o.mp4": {}}}
    found = read_hirest(tmp_path, HIREST, train_negatives=negatives)
    added = [(row["video_id"], row["split"], row["duration_s"]) for row in found.videos][-2:]
    assert added == [("n", ["train"], None), ("o", ["train"], None)]
    assert not any(row["video_id"] in "no" for row in found.queries)
    assert splits_named("hirest", ["train", "test", "test_steps", "test_negatives"]) == ["train", "test", "test_steps"]


def test_prompts_carry_their_categories(tmp_path):
    categories = {"prompt_to_cat": {"Make a cake": "Food"}, "video_to_cat": {}}
    found = read_hirest(tmp_path, HIREST, categories=categories)
    assert {json.loads(row["extra_json"])["category"] for row in found.queries} == {"Food"}
    assert splits_named("hirest", ["train", "categories"]) == ["train"]


def test_a_key_that_occurs_twice_is_not_lost_silently(tmp_path):
    with pytest.raises(errors.BadSourceFile, match="the key 'p' twice"):
        read_hirest(tmp_path, '{"p": {}, "p": {}}')


def test_a_missing_hirest_field_names_prompt_and_video(tmp_path):
    with pytest.raises(errors.MissingKey, match=r"h\.json:'p':a\.mp4:v_duration"):
        read_hirest(tmp_path, {"p": {"a.mp4": {}}})


# UniQ4Cap


def read_captions(tmp_path, entries):
    (tmp_path / "c.json").write_text(json.dumps(entries))
    return read_annotations("uniq4cap", {"train": tmp_path / "c.json"}, "cap")


def test_both_captions_are_kept_and_unknown_fields_reported(tmp_path, caplog):
    found = read_captions(tmp_path, [{"id": "a", "sound_mplug": "a dog barks", "mplug": "a dog", "ofa": ["x"]}])
    assert [(row["text"], row["kind"]) for row in found.captions] == [("a dog barks", "sound"), ("a dog", "visual")]
    assert found.videos[0]["duration_s"] is None
    assert "'ofa' of 1 entries" in caplog.text


@pytest.mark.parametrize(
    ("entries", "error"),
    [
        ("a", errors.BadSourceFile),
        ([{"id": "a", "mplug": "x"}], errors.MissingKey),
        ([{"id": "a", "sound_mplug": "x"}] * 2, errors.DuplicateVideo),
        ([{"id": 7, "sound_mplug": "x"}], errors.BadValue),
    ],
)
def test_broken_caption_lists_are_named(tmp_path, entries, error):
    with pytest.raises(error):
        read_captions(tmp_path, entries)


# A user's own list


def test_a_small_table_of_queries_is_enough(tmp_path):
    found = read_plain(tmp_path, 'video,query\nbeach.mp4,"first waves, then a dog"\n')
    assert found.videos[0] | {} == {
        "dataset": "mine",
        "video_id": "beach",
        "source_video_id": "beach.mp4",
        "duration_s": None,
        "split": ["test"],
    }
    assert found.queries[0]["query_id"] == "mine/test/beach#0"
    assert found.queries[0]["text"] == "first waves, then a dog"
    assert found.moments == []


def test_all_columns_of_the_table_are_used(tmp_path):
    text = "\ufeffvideo,query,split,start,end,qid,duration,place\na,x,train,1,2.5,q1,20,home\na,y,val,,,q2,20,\n"
    found = read_plain(tmp_path, text)
    assert [row["query_id"] for row in found.queries] == ["mine/train/q1", "mine/val/q2"]
    assert json.loads(found.queries[0]["extra_json"]) == {"place": "home"}
    assert found.queries[1]["extra_json"] is None
    assert [(row["start_s"], row["end_s"], row["split"]) for row in found.moments] == [(1.0, 2.5, "train")]
    assert found.videos[0]["duration_s"] == 20.0


def test_lines_with_one_qid_are_moments_of_one_query(tmp_path):
    lines = [{"video": "a", "query": "x", "start": s, "end": s + 1, "qid": 3} for s in (1, 5)]
    found = read_plain(tmp_path, "\n".join(map(json.dumps, lines)), "q.jsonl")
    assert len(found.queries) == 1
    assert [(row["window_index"], row["start_s"]) for row in found.moments] == [(0, 1.0), (1, 5.0)]
    lines[1]["query"] = "y"
    with pytest.raises(errors.DuplicateQuery, match=r"q\.jsonl:2: .*q\.jsonl:1"):
        read_plain(tmp_path, "\n".join(map(json.dumps, lines)), "q.jsonl")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("video;query\na;x\n", errors.MissingKey, r"queries\.csv:1:video: .*Make the first line a header"),
        ("", errors.MissingKey, "the columns nothing"),
        ("video,query\na,first, then\n", errors.BadSourceFile, r"queries\.csv:2: .*in quotes"),
        ("video,query,start,end\na,x,0:12,3\n", errors.BadValue, r"queries\.csv:2:start: .*number of seconds"),
        ("video,query,start,end\na,x,1,\n", errors.MissingKey, r"queries\.csv:2:end: .*start and end, or neither"),
        ('video,query\na,"x\n', errors.BadSourceFile, r"queries\.csv:"),
        ("video,query\n,x\n", errors.MissingKey, r"queries\.csv:2:video"),
    ],
)
def test_a_broken_table_is_answered_with_the_place_and_the_remedy(tmp_path, text, error, message):
    with pytest.raises(error, match=message):
        read_plain(tmp_path, text)


def test_two_spellings_of_one_file_are_refused(tmp_path):
    with pytest.raises(errors.DuplicateVideo, match=r"'a\.MP4'; expected 'a\.mp4'"):
        read_plain(tmp_path, "video,query\na.mp4,x\na.MP4,y\n")


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(errors.BadSourceFile, match=r"\.jsonl or \.csv"):
        read_plain(tmp_path, "", "queries.xlsx")


def test_a_quoted_line_break_stays_in_the_query(tmp_path):
    with (tmp_path / "q.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("video", "query"), ("a", "x\ny")])
    assert read_annotations("plain", {"test": tmp_path / "q.csv"}, "mine").queries[0]["text"] == "x\ny"


# The demo's files


def test_the_demo_reads_in_all_three_layouts(tmp_path):
    plans = plan_demo(0, {"train": 2, "val": 1, "test": 2})
    for name, text in source_files(plans).items():
        (tmp_path / name).write_text(text)
    for layout, source_format, suffix in (
        ("highlight", "qvhighlights", "jsonl"),
        ("hirest", "hirest", "json"),
        ("captions", "uniq4cap", "json"),
    ):
        files = {split: tmp_path / f"{layout}_{split}.{suffix}" for split in ("train", "val", "test")}
        found = read_annotations(source_format, files, "demo")
        assert [row["video_id"] for row in found.videos] == [plan.video_id for plan in plans]
        assert list(found.durations()) == [plan.video_id for plan in plans]
        for row, plan in zip(found.videos, plans, strict=True):
            row["duration_s"] = plan.duration_cs / 100
        add_flags(found)
        validate_annotations(found)
        assert not any(row["flags"] for row in (*found.moments, *found.steps))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "video;query;start;end\na.mp4;x;1;2\n",
            errors.MissingKey,
            "separated by semicolons; save the table with commas",
        ),
        ("video\tquery\na.mp4\tx\n", errors.MissingKey, "separated by tabs"),
        ("Video,Query\na.mp4,x\n", errors.MissingKey, r"queries\.csv:1:video: .*rename 'Video' to 'video'"),
        ("video,queries\na.mp4,x\n", errors.MissingKey, r"queries\.csv:1:query: .*rename 'queries' to 'query'"),
        ("video,query,query\na.mp4,x,y\n", errors.BadSourceFile, r"queries\.csv:1:query: .*this column twice"),
        ("video,query\n", errors.BadSourceFile, r"queries\.csv: .*no query; .*`annotations\.files`"),
        (
            'video,query\na.mp4,"say "hi""\n',
            errors.BadSourceFile,
            r"queries\.csv:2: .*write a quote inside a query twice",
        ),
        ("video,query\n/films/a.mp4,x\n", errors.BadVideoId, r"queries\.csv:2:video: .*the path below the folder"),
        ("video,query\n../films/a.mp4,x\n", errors.BadVideoId, r"queries\.csv:2:video: .*the path below the folder"),
        ("video,query\nC:\\films\\a.mp4,x\n", errors.BadVideoId, r"queries\.csv:2:video: .*with `/`"),
        ("video,query\n.mp4,x\n", errors.BadVideoId, r"queries\.csv:2:video"),
        ("video,query,split\na.mp4,x,Test set\n", errors.BadValue, r"queries\.csv:2:split: .*small letters"),
        ("video,query\na.mp4,x\na,y\n", errors.DuplicateVideo, r"queries\.csv:3: .*'a'; expected 'a\.mp4'"),
        ('video,query,start,end\na,x,"1,5",3\n', errors.BadValue, r"queries\.csv:2:start: .*'1,5'"),
    ],
)
def test_what_spreadsheets_and_beginners_write_is_answered_with_a_remedy(tmp_path, text, error, message):
    with pytest.raises(error, match=message):
        read_plain(tmp_path, text)


LINE = {"video": "a.mp4", "query": "x", "start": 1, "end": 2}
LONG = "9" * 5000


@pytest.mark.parametrize(
    ("line", "error", "found"),
    [
        ('{"video": "a.mp4", "query": "\\ud800 x"}', errors.BadValue, r"q\.jsonl:1:query: .*half of a character"),
        ('{"video": "a.mp4", "query": "x", "\\uDFFF": 1}', errors.BadValue, "half of a character"),
        (f'{{"video": "a.mp4", "query": "x", "end": {LONG}}}', errors.BadSourceFile, r":1:end: .*5000 digits"),
        (f'{{"video": "a.mp4", "query": "x", "end": -{LONG[:400]}}}', errors.BadSourceFile, r":1:end: .*401 digits"),
        ('{"video": "a.mp4", "query": "x", "end": ' + "[" * 10**5, errors.BadSourceFile, "too many brackets"),
        ('{"video": "a.mp4", "query": "x", "qid": [1]}', errors.BadValue, r":1:qid: .*found \[1\]"),
        ('{"video": "a.mp4", "query": "x", "Start": 1, "End": 2}', errors.MissingKey, "Rename 'Start' to 'start'"),
        ('{"video": "a.mp4", "query": "x", "start (s)": 1}', errors.MissingKey, r"Rename 'start \(s\)' to 'start'"),
        ('{"video": "a.mp4", "query": "x", "end_time": 1}', errors.MissingKey, "Rename 'end_time' to 'end'"),
        ('{"Video": "a.mp4", "query": "x"}', errors.MissingKey, "Rename 'Video' to 'video'"),
    ],
)
def test_a_line_that_no_table_can_hold_is_named_with_its_field(tmp_path, line, error, found):
    with pytest.raises(error, match=found):
        read_plain(tmp_path, line, "q.jsonl")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.csv", "video,query,begin,to\na.mp4,x,1,2\n"),
        ("q.csv", "video,query,onset,duration,offset\na.mp4,x,1,9,2\n"),
        ("q.jsonl", '{"video": "a.mp4", "query": "x", "relevant_windows": [[1, 2]]}\n'),
        ("q.jsonl", '{"video": "a.mp4", "query": "x", "from": "1.5", "to": 2}\n'),
    ],
)
def test_numbers_that_are_kept_and_not_read_are_named_where_no_moment_is_given(tmp_path, caplog, name, text):
    assert read_plain(tmp_path, text, name).moments == []
    assert "no moment is given: the fields that hold numbers (" in caplog.text
    assert "rename them to 'start' and 'end'" in caplog.text


def test_further_numbers_beside_moments_are_nobodys_business(tmp_path, caplog):
    read_plain(tmp_path, "video,query,start,end,age\na.mp4,x,1,2,30\n")
    read_plain(tmp_path, "video,query,note,id\na.mp4,x,soon,7\n")
    assert "no moment" not in caplog.text


def test_a_column_that_is_nearly_a_known_one_is_named_in_a_table_too(tmp_path, caplog):
    with pytest.raises(errors.MissingKey, match="Rename 'Start' to 'start'"):
        read_plain(tmp_path, "video,query,Start,End\na.mp4,x,1,2\n")
    assert not read_plain(tmp_path, "video,query,strat,note,begin\na.mp4,x,1,see,3\n").moments
    assert "the field 'strat' is kept and not read; if it is 'start', rename it" in caplog.text
    assert "note" not in caplog.text
    both = read_plain(tmp_path, "video,query,start,end,start_s\na.mp4,x,1,2,3\n")
    assert (both.moments[0]["start_s"], both.queries[0]["extra_json"]) == (1.0, '{"start_s": "3"}')


def test_null_is_a_field_that_is_not_there(tmp_path):
    line = json.dumps(LINE | {"start": None, "end": None, "duration": None, "qid": None, "split": None, "note": None})
    found = read_plain(tmp_path, line, "q.jsonl")
    assert not found.moments
    assert found.queries[0]["extra_json"] == '{"note": null}'
    with pytest.raises(errors.MissingKey, match="only one bound"):
        read_plain(tmp_path, json.dumps(LINE | {"end": None}), "q.jsonl")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_list_of_lines_is_named(tmp_path, text):
    with pytest.raises(errors.BadSourceFile, match=r"q\.jsonl: .*no query"):
        read_plain(tmp_path, text, "q.jsonl")


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ('[{"video": "a", "query": "x"}]', errors.BadSourceFile, r"q\.jsonl:1: .*an object"),
        ('{"video": 7, "query": "x"}', errors.BadValue, r"q\.jsonl:1:video: .*7; expected str"),
        ('{"video": "a", "query": "x", "start": "1"}', errors.BadValue, r"q\.jsonl:1:start: .*expected int or float"),
        ('{"video": "a", "text": "x"}', errors.MissingKey, r"q\.jsonl:1:query: .*only video, text"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, error, message):
    with pytest.raises(error, match=message):
        read_plain(tmp_path, line, "q.jsonl")


def test_a_table_of_another_system_reads_alike(tmp_path):
    """Byte order mark, both line ends, blanks in the header, short rows, blank lines, quotes and other scripts."""
    text = '\ufeffvideo , query,start,end\r\na.MP4,"er sagt ""grüß Gott"", 你好 🎬",1,2\r\n\r\nb.mov,zwei\r\n'
    path = tmp_path / "q.csv"
    path.write_bytes(text.encode())
    found = read_annotations("plain", {"test": path}, "mine")
    assert [row["text"] for row in found.queries] == ['er sagt "grüß Gott", 你好 🎬', "zwei"]
    assert [row["video_id"] for row in found.videos] == ["a", "b"]
    assert len(found.moments) == 1
    lines = [
        {"video": "a.MP4", "query": 'er sagt "grüß Gott", 你好 🎬', "start": 1, "end": 2},
        {"video": "b.mov", "query": "zwei"},
    ]
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode())
    assert read_annotations("plain", {"test": path}, "mine").queries == found.queries


def test_repeated_lines_count_and_are_reported(tmp_path, caplog):
    found = read_plain(tmp_path, "video,query,start,end\na,x,1,2\na,x,1,2\na,x,3,4\n")
    assert [row["query_id"] for row in found.queries] == ["mine/test/a#0", "mine/test/a#1", "mine/test/a#2"]
    assert "1 lines repeat another one" in caplog.text


def test_one_mention_of_a_duration_is_enough(tmp_path):
    for text in ("video,query,duration\na,x,20\na,y,\n", "video,query,duration\na,x,\na,y,20\n"):
        (video,) = read_plain(tmp_path, text).videos
        assert video["duration_s"] == 20.0
    with pytest.raises(errors.DuplicateVideo, match="duration_s 21"):
        read_plain(tmp_path, "video,query,duration\na,x,20\na,y,21\n")


def test_the_demo_has_the_queries_of_two_layouts_and_the_captions_of_a_third(tmp_path):
    plans = plan_demo(0, {"train": 2, "val": 1, "test": 1})
    write_sources(tmp_path, plans)
    layouts = {"": "highlight_{}.jsonl", "_hirest": "hirest_{}.json", "_captions": "captions_{}.json"}
    files = {
        f"{split}{suffix}": tmp_path / name.format(split)
        for split in ("train", "val", "test")
        for suffix, name in layouts.items()
    }
    found = read_annotations("demo", files, "demo_tasks")
    assert sorted(row["video_id"] for row in found.videos) == sorted(plan.video_id for plan in plans)
    prompts = [row for row in found.queries if "#" in row["query_id"]]
    assert 0 < len(prompts) < len(found.queries)
    kinds = {row["query_id"]: json.loads(row["extra_json"])["kind"] for row in found.queries}
    assert {kinds[row["query_id"]] for row in prompts} == {"steps"}
    assert {"picture", "both"} <= {*kinds.values()} - {"steps"}
    assert splits_named("demo", files) == ["train", "val", "test"]
    assert {row["query_id"] for row in found.steps} <= {row["query_id"] for row in prompts}
    assert {row["video_id"] for row in found.captions} == {plan.video_id for plan in plans}
    places = [(row["video_id"], row["ordinal"]) for row in found.queries]
    assert len(set(places)) == len(places)
    assert found.saliency
