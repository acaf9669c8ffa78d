"""Grading: is this answer right? `grade(problem, prediction)` says correct, incorrect or ungradable, and why."""

from srpo.grading.rules.route import Kind, SymbolicVerifier, classify_gold, grade, grade_gold

__all__ = ["Kind", "SymbolicVerifier", "classify_gold", "grade", "grade_gold"]
