"""HallusionBench's three accuracies (arXiv 2310.14566, section 3.3): per question, per figure, per question pair.

    aAcc  share of right answers
    fAcc  share of figures about which every question is answered right; VS figure 0 is no figure (nothing is shown)
    qAcc  share of questions that are answered right for every figure, VS figure 0 included

Groups are keyed with their category: `ocr` is a subcategory of both VD and VS. The official set has 1,129 questions;
others leave out those without a picture (951 remain), which makes qAcc easier. So say which set a number is for.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from srpo.core.records import Record


class HallusionScores(Record):
    """The official numbers, between 0 and 1; a number without any group is None."""

    n: int
    """Questions."""
    aAcc: float | None
    fAcc: float | None
    qAcc: float | None
    figures: int
    """Figures that fAcc is over."""
    questions: int
    """Questions about a set of figures that qAcc is over."""
    incomplete_figures: int
    """Figures left out because one of their questions was not answered."""
    incomplete_questions: int
    """Question groups left out for the same reason."""

    @property
    def metrics(self) -> dict[str, float]:
        """What has a value: `aAcc`, `fAcc`, `qAcc`, and `mean` of the three, which the OpenVLM leaderboard shows."""
        named = {"aAcc": self.aAcc, "fAcc": self.fAcc, "qAcc": self.qAcc}
        found = {name: value for name, value in named.items() if value is not None}
        return found | {"mean": sum(found.values()) / 3} if len(found) == 3 else found


class QuestionId(NamedTuple):
    """The parts of `category_subcategory_set_figure_question`."""

    category: str
    subcategory: str
    set_id: str
    figure_id: str
    question_id: str


def read_id(text: str) -> QuestionId:
    """Take an id apart; ValueError when it does not have the five parts.

    >>> read_id("VD_ocr_2_0_1").figure_id
    '0'
    """
    category, _, rest = text.partition("_")
    parts = rest.rsplit("_", 3)
    if len(parts) != 4 or not all((category, *parts)):
        raise ValueError(f"{text!r} is no id of HallusionBench; expected category_subcategory_set_figure_question")
    return QuestionId(category, *parts)


def hallusion_scores(right: Mapping[str, bool], items: Collection[str] | None = None) -> HallusionScores:
    """The scores of answers keyed `category_subcategory_set_figure_question`, which is unique in the published set.

    Args:
        right: Whether each answer is right.
        items: Ids of all questions of the set; groups of which one is not in `right` are incomplete. By default all
            questions are taken to be answered.

    Raises:
        ValueError: an id does not have the five parts.
    """
    figures: dict[tuple[str, ...], bool] = {}
    questions: dict[tuple[str, ...], bool] = {}
    for text, is_right in right.items():
        figure, question = _groups(text)
        if figure is not None:
            figures[figure] = figures.get(figure, True) and is_right
        questions[question] = questions.get(question, True) and is_right
    lost = [_groups(text) for text in items or () if text not in right]
    lost_figures = {figure for figure, _ in lost if figure is not None}
    lost_questions = {question for _, question in lost}
    whole_figures = [good for key, good in figures.items() if key not in lost_figures]
    whole_questions = [good for key, good in questions.items() if key not in lost_questions]
    return HallusionScores(
        n=len(right),
        aAcc=_share(list(right.values())),
        fAcc=_share(whole_figures),
        qAcc=_share(whole_questions),
        figures=len(whole_figures),
        questions=len(whole_questions),
        incomplete_figures=len(lost_figures),
        incomplete_questions=len(lost_questions),
    )


def _groups(text: str) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The figure (None where nothing is shown) and the question that an id belongs to."""
    category, subcategory, set_id, figure_id, question_id = read_id(text)
    shown = (category, figure_id) != ("VS", "0")
    figure = (category, subcategory, set_id, figure_id) if shown else None
    return figure, (category, subcategory, set_id, question_id)


def _share(values: list[bool]) -> float | None:
    return sum(values) / len(values) if values else None
