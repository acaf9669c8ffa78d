"""What graded responses add up to: self-correction, votes, kinds of reflection."""
