"""What the memory plan says of the benchmark's rows: the same model, adapters and loads, on shapes.

planned = planned_bytes(config, load, text_tokens=40, free=60e9)
"""

from typing import TYPE_CHECKING, Any

from srpo.core.records import Sampling
from srpo.policy.config import LoraConfig
from srpo.policy.fake import PromptShape, Shapes, fake_policy, shorten_tower
from srpo.policy.measure import Held, Measured, Moment, SamplingRoom
from srpo.rl.config import RlConfig
from srpo.rl.memory import rl_job

if TYPE_CHECKING:
    from benchmarks.gpu.run import Load


def planned_bytes(config: Any, load: "Load", *, text_tokens: int, free: float, kernels: str) -> dict[str, int]:
    """By row, where the plan has something to say: the peers are not in it. `free` is what the sampler may fill."""
    prompt = PromptShape(text_tokens, 1, load.pixels[0] * load.pixels[1])
    settings = _settings(load, load.learned_tokens)
    measured = Measured(
        Held(config, "bfloat16", lora=LoraConfig(), recompute=True, optim=settings.optim, kernels=kernels)
    )
    static, scratch = measured.static, measured.scratch
    room = SamplingRoom(load.num_prompts, load.group, Sampling(max_tokens=load.tokens), free)
    sampling, _ = measured.sampling(room, prompt)

    def learned(tokens: int, *, seen: bool) -> int:
        one = _settings(load, tokens)
        job = rl_job(one)
        assert job.learn is not None
        learn = job.learn(one)
        if not seen:
            learn = learn._replace(prompts=lambda policy: [policy.encode("")])
        moment: Moment = measured.learning(learn, prompt)
        # An optimizer makes its moments in its first step, when the activations are gone.
        return static.weights + static.gradients + max(moment.total, static.moments + scratch)

    return {
        "tower": static.weights + _tower(config, load, prompt),
        "sample": static.weights + sampling.total,
        "learn": learned(load.learned_tokens, seen=False),
        "step": max(static.weights + sampling.total, learned(load.tokens, seen=True)),
    }


def _settings(load: "Load", tokens: int) -> RlConfig:
    settings = {
        "model": "random", "data": "none", "steps": 1, "num_prompts": load.num_prompts, "group_size": load.group,
        "max_tokens": tokens, "micro_prompts": 1, "micro_responses": 2, "lora": {}, "dtype": "bfloat16",
    }  # fmt: skip
    return RlConfig.model_validate(settings)


def _tower(config: Any, load: "Load", prompt: PromptShape) -> int:
    """What the vision tower takes for all prompts at once."""
    from benchmarks.gpu.run import tower

    shapes = Shapes()
    with shapes:
        policy: Any = fake_policy(shapes, config, num_layers=1, dtype="bfloat16", trainable=False)
        shorten_tower(policy)
        policy.processor.shape = prompt
        prompts = policy.encode_many([("", [])] * load.num_prompts)
        shapes.restart()
        before = shapes.now
        tower(policy, prompts, load)
        return shapes.peak - before
