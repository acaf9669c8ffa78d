"""A world for `srpo reflect` behind real HTTP: sums as problems, and what policy, teacher and judge say about them.

Everything is a function of the request, so that two runs can be compared, however they were disturbed.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from srpo.models.config import ServerConfig
from srpo.reflect.config import ReflectConfig
from tests.support.fault_server import Body, FaultServer, prompt_text


def write_problems(folder: Path, count: int) -> Path:
    """`count` sums, each with a picture-less question of its own."""
    path = folder / "sums.jsonl"
    rows = [{"id": f"p{i}", "question": f"What is {i} + {i % 7}?", "answer": str(i + i % 7)} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def answer(body: Body, sample: int) -> str:
    """What the served model called `policy`, `teacher` or `judge` says."""
    text = prompt_text(body)
    if body["model"] == "policy":
        return _attempt(text, sample)
    return _lesson(text, body["seed"]) if body["model"] == "teacher" else _verdict(text)


def config(server: FaultServer | str, data: Path, **settings: object) -> ReflectConfig:
    """Policy and teacher behind `server`, or behind the one at this address."""
    address = server if isinstance(server, str) else server.base_url
    served = {
        "base_url": address,
        "backoff_s": 0,
        "patience_s": 0,
        "usd_per_million_in": 1.0,
        "usd_per_million_out": 2.0,
    }
    base = {
        "model": {"model": "policy", **served},
        "teacher": {"model": {"model": "teacher", **served}},
        "data": str(data),
        "batch_size": 4,
        "num_samples": 3,
        "symbolic": False,
        "budget": {"pilot": 0},
    }
    return ReflectConfig.model_validate({**base, **settings})


def with_servers(
    cfg: ReflectConfig, *, policy: Mapping[str, object] | None = None, teacher: Mapping[str, object] | None = None
) -> ReflectConfig:
    """`cfg` with other settings of the servers that it names."""
    assert isinstance(cfg.model, ServerConfig)
    assert isinstance(cfg.teacher.model, ServerConfig)
    taught = cfg.teacher.model_copy(update={"model": cfg.teacher.model.model_copy(update=teacher)})
    return cfg.model_copy(update={"model": cfg.model.model_copy(update=policy), "teacher": taught})


def _attempt(text: str, sample: int) -> str:
    first, second = (int(number) for number in re.findall(r"What is (\d+) \+ (\d+)\?", text)[0])
    said = first + second + (0 if _dice(text, sample) < 40 else 1 + sample)
    if _dice(text, sample, "format") < 5:
        return "I do not know"
    return f"<think>I add {second} to {first} and get {said}</think>\n<answer>{said}</answer>"


def _lesson(text: str, seed: int) -> str:
    gold = re.findall(r"for your eyes only: (\d+)", text)[0]
    kind = _dice(text, seed)
    if kind < 10:
        return f"<reflection>The reference answer is {gold}.</reflection><think>so</think><answer>{gold}</answer>"
    said = int(gold) + (kind < 30)
    think = f"counting on gives {said}"
    return (
        f"<reflection>The sum is read as if it were {said}.</reflection><think>{think}</think><answer>{said}</answer>"
    )


def _verdict(text: str) -> str:
    return f"It names the sum. <score>{_dice(text) % 6}</score>"


def _dice(*parts: object) -> int:
    """0 to 99."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest()) % 100
