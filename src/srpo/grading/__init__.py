"""Grading: is this answer right? `grade(problem, text)` says correct, incorrect or ungradable, and why.

What other rooms use is here; `prose` and `formulas` are for benchmarks with rules of their own.
"""

from srpo.grading.answers import extract_answer
from srpo.grading.bare import bare_answer, folded_answer, is_plain_number
from srpo.grading.grader import RULES_ONLY, Grader, Score, case_of, grade, grade_with
from srpo.grading.rules.choices import chosen_letters
from srpo.grading.rules.compare import says_the_same
from srpo.grading.rules.golds import classify_gold, grade_gold
from srpo.grading.rules.route import OutOfTime

__all__ = [
    "RULES_ONLY",
    "Grader",
    "OutOfTime",
    "Score",
    "bare_answer",
    "case_of",
    "chosen_letters",
    "classify_gold",
    "extract_answer",
    "folded_answer",
    "grade",
    "grade_gold",
    "grade_with",
    "is_plain_number",
    "says_the_same",
]
