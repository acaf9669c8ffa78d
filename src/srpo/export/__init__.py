"""Reflection data for other trainers: LLaMA-Factory, TRL, verl, plain `datasets`; with a card and an image manifest."""
