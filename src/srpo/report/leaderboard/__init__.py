"""Benchmark results of runs beside published numbers."""
