"""What CALCE reads and writes: prompts, captions, answers."""

import pytest
import torch

from models.systems.calce import prompt
from models.systems.calce.annotations import merge_stage1
from models.systems.calce.captions import NO_SPEECH, Caption, from_rows, read_srt, select
from models.systems.calce.parsing import read, windows
from models.systems.calce.schedule import Schedule, learning_rate
from models.systems.calce.tokens import END, MAX_TOKENS, SECOND_SENTINEL, bert, t5
from workflow_scripts.lib.datasets.srt import parse_srt, srt_text

ROWS = [(0.0, 2.5, "So, we go!"), (2.5, 4.0, "So, we go!"), (4.1234, 5.0, "2020"), (9.0, 12.0, "to the beach")]


def test_tokens_are_those_of_the_published_tokenizers():
    assert t5().ids("[[0, 150]]") == [784, 6306, 632, 6, 4261, 908, 908, 1]
    # Word pieces of bert-base-uncased: case and accents are dropped, unknown words taken apart.
    assert bert().ids("A Café, unaffable") == [101, 1037, 7668, 1010, 14477, 20961, 3468, 102]


def test_long_texts_are_cut_and_keep_their_end():
    assert len(t5().ids("word " * 500)) == MAX_TOKENS
    assert t5().ids("word " * 500)[-1] == END
    assert len(bert().ids("word " * 500)) == MAX_TOKENS


def test_generated_ids_that_are_no_words_are_passed_over():
    assert t5().decode([0, *t5().ids("[[0, 10]]"), 32099, 32127]) == "[[0, 10]]"


def test_a_time_is_one_token_where_t5_has_one():
    assert all(len(t5().seconds(time_s)) == 1 for time_s in range(200))
    assert t5().seconds(2.5) == t5().seconds(2)


def test_a_prompt_is_as_long_as_its_parts():
    text = prompt.text("a dog", ["dog"], [[1, 2]])
    found = prompt.layout([0.0, 1.0], [8, 2], 30, [Caption(1, 2, "hello there")], text)
    assert sum(found.lengths) == len(found.ids)
    assert int((found.ids == prompt.VISUAL).sum()) == 10
    assert not found.is_cut


def test_a_prompt_without_frames_or_captions_is_written_too():
    found = prompt.layout([], [], 30, [], prompt.text("a dog", []))
    assert found.lengths[:2] == (3, 9)
    assert found.ids[11] == SECOND_SENTINEL


def test_a_first_stage_without_windows_is_written_as_no_window():
    assert "\nref: [[-1, -1]]\nItems: dog\n" in prompt.text("a dog", ["dog"], [])
    assert "\nref: [[3, 8]]\n" in prompt.text("a dog", ["dog"], [[3, 8]])
    assert "ref" not in prompt.text("a dog", ["dog"])


def test_a_query_that_is_too_long_is_noted():
    assert prompt.layout([], [], 30, [], prompt.text("dog " * 300, ["dog"])).is_cut


def test_a_text_of_just_the_greatest_length_is_not_cut():
    text = " ".join(["dog"] * (MAX_TOKENS - 1))
    assert len(t5().pieces(text)) == MAX_TOKENS - 1
    assert not prompt.layout([], [], 30, [], text).is_cut


def test_numbers_of_targets_are_replaced_as_asked():
    assert prompt.target([[112, 1128]]) == "[[113, 1138]]"
    assert prompt.target([[112, 1128]], numbers="whole") == "[[113, 1128]]"
    assert prompt.target([[11.2, 112.0]], numbers="whole") == "[[11.2, 112.0]]"
    assert prompt.target([[112, 1128]], numbers="keep") == "[[112, 1128]]"
    with pytest.raises(ValueError, match="substring, whole, keep"):
        prompt.target([[1, 2]], numbers="none")


def test_training_moments_are_rounded_half_to_even():
    assert prompt.whole_seconds([[0.5, 1.5], (2.5, 30.4)]) == [[0, 2], [2, 30]]


def test_transcript_rows_and_their_srt_file_give_the_same_speech():
    speech = from_rows(ROWS)
    assert speech == read_srt(srt_text(ROWS))
    assert [caption.text for caption in speech.captions] == ["so we go", "to beach"]
    assert speech.captions[0] == Caption(0.0, 4.0, "so we go")
    assert speech.spans == [(0.0, 4.0), (9.0, 12.0)]


def test_speech_survives_the_transcript_table_of_an_srt_file():
    text = srt_text([*ROWS, (60.04, 61.337, "the end"), (61.337, 62.1, "the end")])
    table = [(line.start_s, line.end_s, line.text) for line in parse_srt(text, "a.srt")]
    assert from_rows(table) == read_srt(text)


def test_an_empty_transcript_has_no_speech():
    assert from_rows([]) == read_srt("") == read_srt("\n\n") == NO_SPEECH
    assert from_rows([(0.0, 1.0, "  ")]) == NO_SPEECH


@pytest.mark.parametrize(
    "text", ["1\n00:00:01,000 --> 00:00:02,000\r\n\r\nhello\r\n", "no times\n1\n2\n", "\ufeff1\n--> \nx"]
)
def test_files_that_are_hardly_srt_are_read_without_failing(text):
    assert len(read_srt(text).captions) <= 1


def test_a_transcript_in_another_script_has_speech_but_no_captions():
    speech = from_rows([(0.0, 2.0, "你好 世界"), (2.0, 4.0, "привет, мир"), (5.0, 6.0, "¿qué pasa?")])
    assert speech.captions == []
    assert speech.spans == [(0.0, 6.0)]


def test_a_transcript_in_another_latin_language_is_used():
    assert from_rows([(0.0, 2.0, "wir gehen heute schwimmen")]).captions == [
        Caption(0.0, 2.0, "wir gehen heute schwimmen")
    ]


def test_the_nearest_captions_are_selected_best_first():
    captions = [Caption(i, i + 1, str(i)) for i in range(7)]
    near = torch.tensor([0.95, 0.2, 0.99, 0.95, 0.9, 0.93, 0.94])
    assert [caption.text for caption in select(captions, near)] == ["2", "0", "3", "6", "5"]
    assert [caption.text for caption in select(captions, near, top=1)] == ["2"]
    assert select(captions, near, threshold=0.99) == []
    assert select([], torch.zeros(0)) == []


@pytest.mark.parametrize("text", ["", "no idea", "[[]]", "[[,]]", "[[10, 150150]]", "<pad> [[1, 2]]", "[[a, b]]"])
def test_an_answer_that_cannot_be_read_stands_for_the_whole_video(text):
    assert read(text, 150) == ([[0, 150]], False)
    assert read(text, None).windows == [[-1, -1]] or text == "[[10, 150150]]"


def test_an_answer_that_can_be_read_is_told_from_the_whole_video():
    assert read("[[0, 150]]", 150) == ([[0, 150]], True)


def test_answers_fail_where_the_published_code_does_only_on_request():
    assert windows("[[]]", 150, strict_reference=True) == []
    with pytest.raises(ValueError):
        windows("[[10, 150150]]", 150, strict_reference=True)


def test_the_answer_of_one_query_is_not_changed_through_another():
    windows("junk", None)[0][0] = 7
    assert windows("junk", None) == [[-1, -1]]


def test_the_learning_rate_rises_then_falls_once_per_epoch():
    schedule = Schedule(peak=3e-4, floor=2e-4, n_epochs=10, warmup_steps=50)
    rates = [learning_rate(schedule, epoch, step, 100) for epoch in range(10) for step in range(100)]
    assert rates[0] == 1e-8
    assert rates[:50] == sorted(rates[:50])
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert len(set(rates[100:200])) == 1
    assert min(rates[100:]) > 2e-4


def test_a_query_without_a_first_answer_is_named():
    with pytest.raises(KeyError, match="1 of 2 queries"):
        merge_stage1([{"qid": "a"}, {"qid": "b"}], [{"qid": "a", "pred_windows": [[0, 1]]}])
