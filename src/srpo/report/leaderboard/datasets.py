"""How leaderboards name tasks, data sets and metrics."""

from typing import Final, NamedTuple


class Dataset(NamedTuple):
    """One benchmark in a leaderboard."""

    task: str
    title: str
    """With the part of the data that is meant."""


_MATHS = "Visual mathematical reasoning"
_SUBJECTS = "Multi-discipline reasoning"

DATASETS: Final[dict[str, Dataset]] = {
    "mathvista": Dataset(_MATHS, "MathVista testmini"),
    "mmmu": Dataset(_SUBJECTS, "MMMU val"),
    "mathverse": Dataset(_MATHS, "MathVerse testmini"),
    "wemath": Dataset(_MATHS, "We-Math testmini"),
    "mmstar": Dataset("Multimodal reasoning", "MMStar val"),
    "charxiv": Dataset("Chart reasoning", "CharXiv reasoning val"),
    "hallusionbench": Dataset("Hallucination and illusion", "HallusionBench"),
    "mathvision": Dataset(_MATHS, "MathVision test"),
    "mathvision-testmini": Dataset(_MATHS, "MathVision testmini"),
    "mmmu-pro": Dataset(_SUBJECTS, "MMMU-Pro, mean of both settings"),
    "mmmu-pro-standard": Dataset(_SUBJECTS, "MMMU-Pro standard (10 options)"),
    "mmmu-pro-vision": Dataset(_SUBJECTS, "MMMU-Pro vision"),
    "olympiadbench": Dataset("Olympiad-level reasoning", "OlympiadBench OE_MM_maths_en_COMP"),
    "emma": Dataset("Multimodal reasoning", "EMMA"),
    "emma-mini": Dataset("Multimodal reasoning", "EMMA-mini"),
    "mmk12": Dataset("School science", "MMK12 test"),
}
"""Benchmark, as the command line calls it -> its names. The first seven are what most papers report; the order is that
of the columns of a results table."""
