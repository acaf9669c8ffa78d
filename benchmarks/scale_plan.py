"""Memory, time and money of RL with the paper's settings on three clusters: formulas, and what they come to.

    python -m benchmarks.scale_plan [--usd 2.5] [--response 600] [--out benchmarks/results/scale_plan.md]

Parameters are counted on the models' own modules, without weights. All else is arithmetic over `Cluster` and `Assumed`,
and `FORMULAS` says which. What is assumed of the hardware has been measured by nobody here: docs/scale.md.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PROBLEMS, GROUP, STEPS = 128, 8, 500
"""The paper's step, and how many."""
PROMPT = 1774
"""Tokens of a prompt with a picture of a million pixels, as `srpo plan` counts them for Qwen2.5-VL."""
GB = 1e9

QWEN3_VL_235B: dict[str, Any] = {
    "text_config": {
        "hidden_size": 4096, "num_hidden_layers": 94, "num_attention_heads": 64, "num_key_value_heads": 4,
        "head_dim": 128, "intermediate_size": 12288, "moe_intermediate_size": 1536, "num_experts": 128,
        "num_experts_per_tok": 8, "decoder_sparse_step": 1, "mlp_only_layers": [], "vocab_size": 151936,
    },
    "vision_config": {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16,
                      "out_hidden_size": 4096},
    "tie_word_embeddings": False,
}  # fmt: skip
"""The published sizes of Qwen3-VL-235B-A22B."""


class Shape(NamedTuple):
    """A model as far as the formulas go."""

    name: str
    total: float
    """Parameters."""
    trained: float
    """Those outside of the vision tower, which is frozen."""
    active: float
    """Parameters of the language model that one token meets."""
    layers: int
    hidden: int
    kv_bytes: int
    """Keys and values of a token, in bfloat16."""
    vocabulary: int


class Cluster(NamedTuple):
    """Who trains what."""

    shape: Shape
    gpus: int
    tensor: int
    """GPUs that share one copy of the sampler."""


class Assumed(NamedTuple):
    """Of an H100 SXM with 80 GB: the vendor's figures, and the shares of them that are hoped for."""

    flops: float = 989e12
    bandwidth: float = 3.35e12
    memory: float = 80e9
    used_flops: float = 0.35
    """Of `flops`, in training and prefill; half of it for a mixture of experts."""
    used_bandwidth: float = 0.6
    """Of `bandwidth`, in decoding."""
    response: int = 600
    """Mean tokens of a response."""
    longest: int = 2048
    """`max_tokens`."""
    usd: float = 2.5
    """A GPU for an hour."""


class Memory(NamedTuple):
    """Bytes on each GPU."""

    state: float
    activations: float
    sampler: float
    room: float
    """For keys and values, while the training state is in the machine's memory."""
    at_once: int
    """Responses that the room holds, over all GPUs."""


class Seconds(NamedTuple):
    """One step."""

    prefill: float
    decode: float
    old_logprobs: float
    update: float

    @property
    def whole(self) -> float:
        return sum(self)


FORMULAS = """\
state        (16 x trained + 2 x frozen) / GPUs        float32 weights, gradients, two moments; a tower in bfloat16
activations  2 L T h + 34 T h + 6 T V                  layers computed again; one layer open; logits of one response
sampler      2 x total / tensor                        bfloat16, on each of `tensor` GPUs
room         0.9 x memory - sampler                    the training state is moved to the machine's memory meanwhile
at once      room x GPUs / (kv x (prompt + longest))
prefill      2 x active x problems x prompt / (GPUs x flops x used)
decode       waves x (response x token + (longest - response) x 2 x total / (tensor x bandwidth x used))
             token = max(bytes / (bandwidth x used), 2 x active x rows / (flops x tensor x used))
             bytes = (2 x total + rows x kv x (prompt + response / 2)) / tensor: all weights, for however many rows
old          2 x active x responses x (prompt + response) / (GPUs x flops x used)
update       8 x active x responses x (prompt + response) / (GPUs x flops x used)     6, and 2 for layers computed again
money        steps x seconds x GPUs / 3600 x usd"""


def shapes() -> Iterator[Shape]:
    """The three models, counted on the meta device."""
    from transformers import CONFIG_MAPPING

    from srpo.policy.model_file import read_model_file

    for name in ("Qwen2.5-VL-7B", "Qwen2.5-VL-32B"):
        yield counted(name, read_model_file(ROOT / f"recipes/shapes/{name}.json").config)
    yield counted("Qwen3-VL-235B-A22B", CONFIG_MAPPING["qwen3_vl_moe"].from_dict(QWEN3_VL_235B))


def counted(name: str, config: Any) -> Shape:
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    sizes = {path: parameter.numel() for path, parameter in model.named_parameters()}
    total = sum(sizes.values())
    tower = sum(size for path, size in sizes.items() if ".visual." in path)
    text = config.text_config
    experts = sum(size for path, size in sizes.items() if ".experts." in path)
    asleep = experts * (1 - text.num_experts_per_tok / text.num_experts) if experts else 0
    embedded = text.vocab_size * text.hidden_size
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Shape(
        name=name,
        total=total,
        trained=total - tower,
        active=total - tower - asleep - embedded,  # an embedding is looked up
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        kv_bytes=2 * 2 * text.num_hidden_layers * text.num_key_value_heads * head_dim,
        vocabulary=text.vocab_size,
    )


def memory_of(cluster: Cluster, assumed: Assumed) -> Memory:
    shape, longest = cluster.shape, PROMPT + assumed.longest
    sampler = 2 * shape.total / cluster.tensor
    room = 0.9 * assumed.memory - sampler
    return Memory(
        state=(16 * shape.trained + 2 * (shape.total - shape.trained)) / cluster.gpus,
        activations=2 * shape.layers * longest * shape.hidden + 34 * longest * shape.hidden
        + 6 * longest * shape.vocabulary,
        sampler=sampler,
        room=room,
        at_once=int(max(0.0, room) * cluster.gpus // (shape.kv_bytes * longest)),
    )  # fmt: skip


def seconds_of(cluster: Cluster, assumed: Assumed) -> Seconds:
    shape, gpus = cluster.shape, cluster.gpus
    is_mixture = shape.active < shape.trained / 2
    used = assumed.used_flops / (2 if is_mixture else 1)
    flops = gpus * assumed.flops * used
    responses = PROBLEMS * GROUP
    waves = -(-responses // max(1, memory_of(cluster, assumed).at_once))
    rows = responses / waves / (gpus / cluster.tensor)
    num_bytes = (2 * shape.total + rows * shape.kv_bytes * (PROMPT + assumed.response / 2)) / cluster.tensor
    token_s = max(
        num_bytes / (assumed.bandwidth * assumed.used_bandwidth),
        2 * shape.active * rows / (assumed.flops * cluster.tensor * used),
    )
    last_s = 2 * shape.total / (cluster.tensor * assumed.bandwidth * assumed.used_bandwidth)
    tokens = responses * (PROMPT + assumed.response)
    return Seconds(
        prefill=2 * shape.active * PROBLEMS * PROMPT / flops,
        decode=waves * (assumed.response * token_s + (assumed.longest - assumed.response) * last_s),
        old_logprobs=2 * shape.active * tokens / flops,
        update=8 * shape.active * tokens / flops,
    )


def render(clusters: list[Cluster], assumed: Assumed) -> str:
    names = [f"{one.shape.name}, {one.gpus} GPUs" for one in clusters]
    rows: list[tuple[str, list[str]]] = [
        ("parameters, 10^9: all, trained, met by a token", [
            ", ".join(f"{size / 1e9:.2f}" for size in (one.shape.total, one.shape.trained, one.shape.active))
            for one in clusters]),
        ("GPUs to a copy of the sampler", [str(one.tensor) for one in clusters]),
    ]  # fmt: skip
    held = [memory_of(one, assumed) for one in clusters]
    took = [seconds_of(one, assumed) for one in clusters]
    for label, name in (("training state", "state"), ("activations, one response", "activations"),
                        ("sampler's weights", "sampler"), ("room for keys and values", "room")):  # fmt: skip
        rows.append((f"{label}, GB a GPU", [f"{getattr(one, name) / GB:.1f}" for one in held]))
    rows.append(("responses at once", [f"{one.at_once:,}" for one in held]))
    for label, name in (("prefill", "prefill"), ("decode", "decode"), ("old log-probs", "old_logprobs"),
                        ("update", "update"), ("step", "whole")):  # fmt: skip
        rows.append((f"{label}, s", [f"{getattr(one, name):.0f}" for one in took]))
    rows.append(("responses a second, while it samples", [
        f"{PROBLEMS * GROUP / (one.prefill + one.decode):.0f}" for one in took]))  # fmt: skip
    gpu_hours = [STEPS * one.whole * cluster.gpus / 3600 for one, cluster in zip(took, clusters, strict=True)]
    rows.append((f"{STEPS} steps, hours", [f"{STEPS * one.whole / 3600:.1f}" for one in took]))
    rows.append((f"{STEPS} steps, GPU hours", [f"{one:,.0f}" for one in gpu_hours]))
    rows.append((f"{STEPS} steps at ${assumed.usd:g} a GPU hour", [f"${one * assumed.usd:,.0f}" for one in gpu_hours]))
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    return "\n".join([*lines, *(f"| {label} | {' | '.join(values)} |" for label, values in rows)])


def clusters() -> list[Cluster]:
    small, middle, large = shapes()
    return [Cluster(small, 8, 1), Cluster(middle, 32, 4), Cluster(large, 128, 16)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--usd", type=float, default=Assumed().usd)
    parser.add_argument("--response", type=int, default=Assumed().response)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = f"{FORMULAS}\n\n{render(clusters(), Assumed(usd=options.usd, response=options.response))}\n"
    print(text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
