"""Inputs of QUAG's three tasks: items by hand, bad input, batches."""

import numpy as np
import pytest
import torch

from models.encoders.networks.clip import BytePairs
from models.systems.quag import samples
from models.systems.quag.config import DataConfig
from models.systems.quag.samples import Video, read_video
from tests.unit.made_quag import QUERY, SPEECH, VISUAL, WORDS, made_batch, made_config, made_video

DATA = DataConfig()


def rows(n: int, width: int = VISUAL) -> np.ndarray:
    return np.arange(1, n * width + 1, dtype=np.float32).reshape(n, width)


def video_of(duration_s: float, data: DataConfig = DATA) -> Video:
    return read_video("v", duration_s, rows(round(duration_s)), (rows(1, SPEECH), [(1.0, 3.9)]), data)


@pytest.mark.parametrize(("duration_s", "n_rows"), [(37.4, 37), (25.5, 26), (26.5, 26), (0.6, 1)])
def test_a_video_has_one_row_per_second_rounded_half_to_even(duration_s, n_rows):
    assert len(video_of(duration_s).visual) == len(video_of(duration_s).grid) == n_rows


def test_a_video_below_half_a_second_is_refused():
    with pytest.raises(ValueError, match=r"video short: 0.5 s"):
        read_video("short", 0.5, rows(1), None, DATA)


def test_surplus_rows_are_cut():
    assert np.array_equal(read_video("v", 5.0, rows(7), None, DATA).visual, rows(7)[:5])


def test_missing_rows_are_named_or_the_last_is_repeated():
    with pytest.raises(ValueError, match=r"video v: 3 visual rows, but 5 seconds .* data.missing_rows: repeat_last"):
        read_video("v", 5.0, rows(3), None, DATA)
    repeating = DataConfig(missing_rows="repeat_last")
    found = read_video("v", 5.0, rows(3), None, repeating).visual
    assert np.array_equal(found, rows(3)[[0, 1, 2, 2, 2]])
    with pytest.raises(ValueError, match="0 visual rows"):
        read_video("v", 5.0, rows(0), None, repeating)


def test_speech_is_laid_on_whole_seconds():
    found = video_of(5.0).speech
    assert np.array_equal(found[[1, 2]], rows(1, SPEECH)[[0, 0]])
    assert not found[[0, 3, 4]].any()


def test_speech_on_seconds_already_stays_as_it_is():
    given = rows(5, SPEECH), [(float(t), t + 1.0) for t in range(5)]
    assert np.array_equal(read_video("v", 5.0, rows(5), given, DATA).speech, given[0])


def test_a_transcript_without_lines_is_silence():
    found = read_video("v", 4.0, rows(4), (np.zeros((0, SPEECH), np.float32), []), DATA).speech
    assert found.shape == (4, SPEECH)
    assert not found.any()
    with pytest.raises(ValueError, match=r"store a transcript without lines as \(0, width\)"):
        read_video("v", 4.0, rows(4), (np.zeros(0, np.float32), []), DATA)


def test_speech_of_another_transcript_is_refused():
    with pytest.raises(ValueError, match="video v: 2 rows of speech, but 3 lines"):
        read_video("v", 4.0, rows(4), (rows(2, SPEECH), [(0, 1), (1, 2), (2, 3)]), DATA)


def test_with_a_fixed_number_of_rows_seconds_of_speech_are_rows_or_resampled_seconds():
    given = rows(1, SPEECH), [(12.0, 16.0)]
    published = read_video("v", 20.0, rows(20), given, DataConfig(n_rows=10))
    assert len(published.visual) == len(published.grid) == 10
    assert not published.speech.any()
    clean = read_video("v", 20.0, rows(20), given, DataConfig(n_rows=10, speech_axis="seconds"))
    assert clean.speech.any(axis=1).nonzero()[0].tolist() == [6, 7]
    few = read_video("v", 4.0, rows(4), given, DataConfig(n_rows=10))
    assert np.array_equal(few.visual, rows(4)[[0, 0, 1, 1, 1, 2, 2, 3, 3, 3]])


def test_a_moment_is_the_first_rows_at_or_after_its_ends():
    sample = samples.moment_sample(video_of(26.0), (2.0, 25.5))
    assert (sample["start_row"], sample["end_row"]) == (2, 25)
    assert samples.moment_sample(video_of(26.0), (0.2, 40.0))["start_row"] == 1
    assert "start_row" not in samples.moment_sample(video_of(26.0), None)


STEPS = [(3.0, 9.0), (9.0, 14.0), (14.0, 33.0)]


def test_a_moment_of_steps_gives_one_sample_per_boundary_but_the_last():
    video = video_of(37.0)
    assert samples.n_step_samples(STEPS) == 3
    sample = samples.step_sample(video, (3.0, 33.0), STEPS, 1)
    assert sample["next_row"] == 14
    assert sample["boundary_mask"].nonzero()[0].tolist() == [3, 9]
    assert sample["moment_mask"].nonzero()[0].tolist() == list(range(9, 34))


def test_a_single_step_gives_no_sample():
    assert samples.n_step_samples([(3.0, 9.0)]) == 0
    assert samples.n_step_samples([]) == 0
    assert samples.n_step_samples([(3.0, 3.0), (3.0, 9.0)]) == 0


def test_a_step_behind_the_end_of_its_moment_is_refused():
    with pytest.raises(ValueError, match="a step ends at row 33, after the moment's last row 20"):
        samples.step_sample(video_of(37.0), (3.0, 20.0), STEPS, 2)


def test_a_moment_to_be_cut_tells_its_ends():
    sample = samples.steps_question(video_of(26.0), (2.0, 25.5))
    assert sample["moment_rows"] == (2, 25)
    assert sample["boundary_mask"].nonzero()[0].tolist() == [2]
    assert sample["moment_mask"].nonzero()[0].tolist() == list(range(2, 26))


def test_a_step_that_ends_before_it_starts_has_one_row():
    video = video_of(26.0)
    found = samples.caption_sample(video, (8.0, 4.0), None, WORDS, DATA)
    assert np.array_equal(found["visual"], np.repeat(video.visual[4:5], 20, axis=0))
    assert "words" not in found


@pytest.mark.parametrize(("rule", "kept"), [("truncate", [0, 1, 2, 3, 4]), ("resample", [0, 3, 6, 9, 12])])
def test_a_long_step_loses_its_end_or_rows_in_between(rule, kept):
    data = DataConfig(step_rows=5, long_step=rule)
    assert np.array_equal(samples.step_rows(rows(13), data), rows(13)[kept])
    assert np.array_equal(samples.step_rows(rows(5), data), rows(5))
    assert np.array_equal(samples.step_rows(rows(2), data), rows(2)[[0, 0, 1, 1, 1]])


def test_a_long_query_is_refused_or_cut():
    text = "how to " * 50
    n_tokens = len(BytePairs(1000)(text))
    with pytest.raises(ValueError, match=f"has {n_tokens} byte pairs, 77 are read"):
        samples.check_prompt(text, DATA)
    samples.check_prompt(text, DataConfig(long_prompt="cut"))


@pytest.mark.parametrize(("n_words", "is_refused"), [(1, False), (75, False), (76, True)])
def test_a_query_of_77_byte_pairs_with_start_and_end_is_read(n_words, is_refused):
    text = "egg " * n_words
    if is_refused:
        with pytest.raises(ValueError, match="78 byte pairs"):
            samples.check_prompt(text, DATA)
    else:
        samples.check_prompt(text, DATA)


def test_batches_are_padded_at_the_end_with_nothing():
    batch = made_batch("steps", made_config(), lengths=(12, 7))
    assert batch["visual"].shape == (2, 12, VISUAL)
    assert batch["query"].shape == (2, QUERY)
    assert batch["valid_mask"].sum(1).tolist() == [12, 7]
    for name in ("visual", "speech", "moment_mask", "boundary_mask"):
        assert not batch[name][1, 7:].any()
    assert batch["moment_mask"].dtype == torch.bool


def test_captions_are_padded_to_a_fixed_length_or_to_the_longest():
    whole, short = made_batch("captions", made_config()), made_batch("captions", made_config(loss={"ignore_pad": True}))
    assert whole["words"].shape == (3, 8)
    assert short["words"].shape == (3, 6)
    assert torch.equal(whole["words"][:, :6], short["words"])
    assert (whole["next_words"][:, 6:] == 0).all()
    assert whole["words_mask"].sum(1).tolist() == [6, 6, 2]


def test_items_of_one_video_have_one_number():
    video = made_video(0, 12)
    made = [
        samples.moment_sample(video, (1.0, 5.0)) | {"query": np.zeros(QUERY, np.float32), "video_id": video_id}
        for video_id in ("a", "b", "a")
    ]
    assert samples.collate("moments", made)["video_numbers"].tolist() == [0, 1, 0]


def test_a_batch_without_speech_has_none():
    video = read_video("v", 5.0, rows(5), None, DATA)
    sample = samples.moment_sample(video, None) | {"query": np.zeros(QUERY, np.float32), "video_id": "v"}
    assert "speech" not in samples.collate("moments", [sample])
