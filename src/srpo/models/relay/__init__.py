"""The work on a run's batches, here or on other machines, which ask this one to ask the models (docs/scale.md)."""
