"""Evaluation: a model on problems, its two answers graded, and what that adds up to."""
