"""A prediction that is killed goes on where it was, to the same answers."""

from types import SimpleNamespace

import pytest
import torch

from models.systems.interface import Caption, QueryScore, Ranked, Saliency, Span, Step
from tests.unit.made_training import made_item
from workflow_scripts.lib.training.answer_journal import TYPES, AnswerJournal
from workflow_scripts.lib.training.prediction import Asking, predict_items

GIVEN = {"moments": "annotated", "steps": "annotated"}
ANSWERS = [
    Span("q", "v", 0, 0.1, 1 / 3, None, "[[0, 1]]", False, "zero:audio"),
    Saliency("q", "v", (0.1, 0.2)),
    Step("q", "v", 0, None, None),
    Caption("", "v", None, 0, "a dog, naïve", -1.5),
    Ranked("q", 3, "v", 0.25),
    QueryScore("q", "audio_importance", 0.7),
]


class Killed(Exception):
    """Stands for the end of the process."""


class Drawing:
    """A system whose answers are drawn, and that may be killed after some batches."""

    tasks = ("moments",)
    config = SimpleNamespace()

    def __init__(self, dies_after=None):
        self.dies_after, self.asked = dies_after, 0

    def units(self, items, task):
        return items

    def sample(self, unit, rng):
        return unit

    def collate(self, samples):
        return {"items": samples}

    def predict(self, network, batch, generator, task, in_detail):
        if self.asked == self.dies_after:
            raise Killed
        self.asked += 1
        for item in batch["items"]:
            drawn = torch.rand((), generator=generator)
            yield Span(item.id, item.video_id, 0, 0.0, drawn.numpy()[()])


def answers_of(system, path, key="k", every_s=0.0, n_workers=0):
    journal = AnswerJournal(path, key, every_s)
    asking = Asking(lambda item: item, 2, "cpu", seed=0, given=GIVEN, journal=journal, n_workers=n_workers)
    return predict_items(system, torch.nn.Identity(), [made_item(number) for number in range(9)], asking).answers


def test_every_kind_of_answer_comes_back_as_it_was(tmp_path):
    generator = torch.Generator().manual_seed(3)
    assert set(TYPES.values()) == {type(answer) for answer in ANSWERS}
    AnswerJournal(tmp_path / "j", "k").keep("/x", [ANSWERS[:2], ANSWERS[2:]], generator, is_last=True)
    torch.rand(5, generator=generator)
    other = torch.Generator().manual_seed(4)
    assert AnswerJournal(tmp_path / "j", "k").resume("/x", other) == (2, ANSWERS)
    assert torch.equal(torch.rand(5, generator=other), torch.rand(5, generator=torch.Generator().manual_seed(3)))
    assert AnswerJournal(tmp_path / "j", "k").resume("/y", other) == (0, [])


@pytest.mark.parametrize("dies_after", [0, 1, 3, 4])
def test_a_killed_prediction_goes_on_to_the_same_answers(tmp_path, dies_after):
    whole = answers_of(Drawing(), tmp_path / "whole")
    with pytest.raises(Killed):
        answers_of(Drawing(dies_after), tmp_path / "killed")
    rest = Drawing()
    assert answers_of(rest, tmp_path / "killed") == whole
    assert rest.asked == 5 - dies_after


@pytest.mark.parametrize("n_workers", [0, 2])
def test_order_and_numbers_of_answers_do_not_depend_on_workers_nor_move_other_draws(tmp_path, n_workers):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    whole = answers_of(Drawing(), tmp_path / "whole", n_workers=n_workers)
    assert torch.equal(torch.get_rng_state(), before)
    assert [span.query_id for span in whole["moments"]] == [f"q{number}" for number in range(9)]
    assert whole == answers_of(Drawing(), tmp_path / "plain")
    with pytest.raises(Killed):
        answers_of(Drawing(3), tmp_path / "killed", n_workers=n_workers)
    rest = Drawing()
    assert answers_of(rest, tmp_path / "killed", n_workers=n_workers) == whole
    assert rest.asked == 2


def test_half_a_line_is_thrown_away(tmp_path):
    path = tmp_path / "killed"
    with pytest.raises(Killed):
        answers_of(Drawing(3), path)
    path.write_bytes(path.read_bytes()[:-20])
    rest = Drawing()
    assert answers_of(rest, path) == answers_of(Drawing(), tmp_path / "whole")
    assert rest.asked == 3
    assert answers_of(Drawing(0), path) == answers_of(Drawing(), tmp_path / "again")


@pytest.mark.parametrize("rest", [b"\0" * 100, b"\0" * 100 + b"\n", b'{"stage": \n{"stage": "moments"}\n', b"\xff\n"])
def test_what_a_machine_that_went_down_left_is_thrown_away(tmp_path, rest):
    path = tmp_path / "killed"
    with pytest.raises(Killed):
        answers_of(Drawing(3), path)
    path.write_bytes(path.read_bytes() + rest)
    assert answers_of(Drawing(), path) == answers_of(Drawing(), tmp_path / "whole")
    path.write_bytes(rest)
    assert answers_of(Drawing(), path) == answers_of(Drawing(), tmp_path / "once more")


def test_answers_to_another_question_are_not_taken(tmp_path):
    with pytest.raises(Killed):
        answers_of(Drawing(3), tmp_path / "j", key="old")
    rest = Drawing()
    answers_of(rest, tmp_path / "j", key="new")
    assert rest.asked == 5


def test_lines_are_written_now_and_then_and_at_the_end(tmp_path):
    with pytest.raises(Killed):
        answers_of(Drawing(4), tmp_path / "j", every_s=1000)
    assert len((tmp_path / "j").read_text().splitlines()) == 1
    answers_of(Drawing(), tmp_path / "j", every_s=1000)
    assert len((tmp_path / "j").read_text().splitlines()) == 2
    AnswerJournal(tmp_path / "j", "k").close()
    assert not (tmp_path / "j").exists()
