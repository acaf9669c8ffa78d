"""Reading answers out of sentences, as benchmarks need it."""
