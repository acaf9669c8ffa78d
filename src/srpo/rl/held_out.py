"""Held-out evaluation inside a run."""

from srpo.core.records import Trace
from srpo.rl.metrics import accuracy_metrics
from srpo.rl.problems import readable
from srpo.rl.rollout import grade_group, sample_groups
from srpo.rl.trainer import RlTrainer


def evaluate_if_due(trainer: RlTrainer, step: int) -> dict[str, float]:
    """Accuracy on held-out problems, sampled with the same random numbers every time; nothing between evaluations."""
    config, timer = trainer.config, trainer.timer
    if config.eval is None or step % config.eval.every:
        return {}
    held_out = trainer.problems.held_out
    encoder = trainer.encoder.of_size(min(config.prompt_cache, len(held_out)))
    traces: list[Trace] = []
    for place in range(0, len(held_out), config.num_prompts):
        sampling = trainer.sampling("eval", place)
        starts_P = readable(encoder, held_out[place : place + config.num_prompts])
        with timer("sample"):
            sampled_P = sample_groups(trainer.sampler, starts_P, config.eval.num_samples, sampling)
        with timer("grade"):
            for sampled in sampled_P:
                group = grade_group(trainer.policy, trainer.grader, sampled, config.style, trainer.origin)
                traces += group.traces if group.is_graded else []
    return accuracy_metrics(traces, "rl/eval")
