"""How leaderboards name tasks, data sets and metrics."""

from typing import Final, NamedTuple


class BoardNames(NamedTuple):
    """One benchmark in a leaderboard."""

    task: str
    title: str
    """With the part of the data that is meant."""


_MATHS = "Visual mathematical reasoning"
_SUBJECTS = "Multi-discipline reasoning"

DATASETS: Final[dict[str, BoardNames]] = {
    "mathvista": BoardNames(_MATHS, "MathVista testmini"),
    "mmmu": BoardNames(_SUBJECTS, "MMMU val"),
    "mathverse": BoardNames(_MATHS, "MathVerse testmini"),
    "wemath": BoardNames(_MATHS, "We-Math testmini"),
    "mmstar": BoardNames("Multimodal reasoning", "MMStar val"),
    "charxiv": BoardNames("Chart reasoning", "CharXiv reasoning val"),
    "hallusionbench": BoardNames("Hallucination and illusion", "HallusionBench"),
    "mathvision": BoardNames(_MATHS, "MathVision test"),
    "mathvision-testmini": BoardNames(_MATHS, "MathVision testmini"),
    "mmmu-pro": BoardNames(_SUBJECTS, "MMMU-Pro, mean of both settings"),
    "mmmu-pro-standard": BoardNames(_SUBJECTS, "MMMU-Pro standard (10 options)"),
    "mmmu-pro-vision": BoardNames(_SUBJECTS, "MMMU-Pro vision"),
    "olympiadbench": BoardNames("Olympiad-level reasoning", "OlympiadBench OE_MM_maths_en_COMP"),
    "emma": BoardNames("Multimodal reasoning", "EMMA"),
    "emma-mini": BoardNames("Multimodal reasoning", "EMMA-mini"),
    "mmk12": BoardNames("School science", "MMK12 test"),
}
"""Benchmark, as the command line calls it -> its names. The first seven are what most papers report; the order is that
of the columns of a results table."""
