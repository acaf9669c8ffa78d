"""Held-out evaluation inside a run."""

from srpo.core.records import Trace
from srpo.rl.metrics import accuracy_metrics
from srpo.rl.rollout import grade_group, sample_groups
from srpo.rl.shares import readable_share, rows_among
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
        now, coming = (held_out[at : at + config.num_prompts] for at in (place, place + config.num_prompts))
        encoder.prepare([*trainer.team.share(now), *trainer.team.share(coming)])
        share = readable_share(trainer, encoder, now)
        with timer("sample"):
            among = rows_among(trainer, share, config.eval.num_samples)
            sampled_P = sample_groups(trainer.sampler, share.starts_P, config.eval.num_samples, sampling, among)
        with timer("grade"):
            own_P = [
                grade_group(trainer.policy, trainer.grader, sampled, config.style, trainer.origin)
                for sampled in sampled_P
            ]
            found = trainer.team.gather([trace for group in own_P if group.is_graded for trace in group.traces])
            traces += [trace for part in found for trace in part]
    return accuracy_metrics(traces, "rl/eval")
