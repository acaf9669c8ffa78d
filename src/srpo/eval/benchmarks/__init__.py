"""Public benchmarks, one adapter each: rows in the published layout -> items -> marks -> the official breakdown."""
