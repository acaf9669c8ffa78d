"""Reflection-aware GRPO (stage 2; paper section 3.3): rollout, credit, loss, loop."""
