"""What the authors of a benchmark make of right and wrong answers: pure functions, pinned by their own code's outputs."""
