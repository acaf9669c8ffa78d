"""What several tests, and some benchmarks, share: a server that fails on purpose, small runs, rows and settings."""
