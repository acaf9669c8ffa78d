"""The paths of reward and pictures at 1,000 and 10,000 responses a second: how many cores, how long does one wait?

    python -m benchmarks.scale_paths [--num 1000] [--results benchmarks/results/scale_paths.json]

Nobody here has machines that write so fast. So single jobs are timed on one core, with the code that runs use (CPU
time, so that other load does not matter), and the queue in front of the cores is simulated with these very times:
responses come at random (Poisson), a job waits for the first free core. The queue is checked against Erlang's formula
in tests/recipes/test_scale.py. Responses have five blocks and about 600 tokens; pictures are JPEG files of 1280 x 960,
half shapes and half noise, and are scaled to 1,003,520 pixels. Jobs:

    reward      `Payer.pay` by the rules, token ids given, as in RL here and in verl
    training    picture read, scaled, cut into patches of 14: once per group
    server      picture read, scaled, packed as JPEG in base64: once per problem
    stage 1     all that a worker of `srpo reflect` does about one first attempt and its lesson, pictures apart

and the one thing that is never spread over machines: what the command itself does about a request, with the cache on
disk, against a server on loopback in another process.
"""

import argparse
import heapq
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.grading_speed import _pairs
from benchmarks.kept import keep

ROOT = Path(__file__).resolve().parents[1]
SERVER = (sys.executable, "-m", "tests.support.fault_server")
RATES = (1_000, 10_000)
GROUP = 8
PATIENT_S = 0.05
"""What 99 of 100 jobs may wait: little beside the seconds that a response takes to be written."""
SIZE = (1280, 960)
MAX_PIXELS = 1_003_520
THINK = "The triangle has sides a and b, so the height follows from the area. "


class JobKind(NamedTuple):
    """A kind of job."""

    name: str
    per_response: float
    """Jobs for each response."""
    seconds: list[float]
    """CPU seconds of single jobs."""
    num_bytes: int
    """What a job hands on."""


class Waiting(NamedTuple):
    """What a queue does to those in it."""

    cores: int
    busy: float
    """Share of the time in which a core works."""
    mean_s: float
    """How long jobs wait."""
    p99_s: float


def simulate(rate: float, seconds: Sequence[float], cores: int, *, num_jobs: int = 40_000, seed: int = 0) -> Waiting:
    """Jobs that come at random at `rate` a second and take one of `seconds` each, on so many cores, in order."""
    rng = random.Random(seed)
    free_at_s = [0.0] * cores
    now_s = worked_s = 0.0
    waits_s = []
    for number in range(num_jobs):
        now_s += rng.expovariate(rate)
        begins_s = max(now_s, heapq.heappop(free_at_s))
        takes_s = rng.choice(seconds)
        heapq.heappush(free_at_s, begins_s + takes_s)
        worked_s += takes_s
        if number >= num_jobs // 10:  # the queue is empty at first
            waits_s.append(begins_s - now_s)
    waits_s.sort()
    busy = worked_s / (cores * max(free_at_s))
    return Waiting(cores, busy, statistics.fmean(waits_s), waits_s[len(waits_s) * 99 // 100])


def cores_for(rate: float, seconds: Sequence[float]) -> Waiting:
    """The fewest cores with which 99 of 100 jobs wait less than `PATIENT_S`."""
    cores = max(1, math.ceil(rate * statistics.fmean(seconds)))
    while (found := simulate(rate, seconds, cores)).p99_s > PATIENT_S:
        cores += max(1, cores // 50)
    return found


def timed(jobs: Sequence[Callable[[], object]]) -> list[float]:
    """CPU seconds of each; the first ones warm caches and do not count."""
    for job in jobs[:10]:
        job()
    found = []
    for job in jobs:
        began_s = time.process_time()
        job()
        found.append(time.process_time() - began_s)
    return found


def reward_path(num: int) -> JobKind:
    from srpo.core.records import Problem
    from srpo.engines.payer import Payer, encode, load_tokenizer
    from srpo.policy.load import shipped_base

    tokenizer = load_tokenizer(str(shipped_base()))
    payer = Payer("paper", tokenizer=tokenizer)
    jobs: list[Callable[[], object]] = []
    for number, (_, gold, prediction) in enumerate(_pairs(num)):
        answer = prediction.partition("<answer>")[2].removesuffix("</answer>")
        text = (
            f"<think>{THINK * 16}</think><answer>{answer}</answer><reflection>{THINK * 4} I look at {number} again."
            f"</reflection><think>{THINK * 16}</think><answer>{answer}</answer>"
        )
        problem, ids = Problem(id=str(number), question="How high?", answer=gold), encode(tokenizer, text)
        jobs.append(partial(payer.pay, problem, text, token_ids=ids))
    return JobKind("reward", 1.0, timed(jobs), 0)


def picture_paths(refs: Sequence[str], folder: Path) -> list[JobKind]:
    from srpo.data.images import read_image
    from srpo.models.remote_images import PictureEncoder
    from srpo.policy.load import shipped_base
    from srpo.policy.processor import load_processor

    processor = load_processor(real_settings(shipped_base(), folder / "model"))

    def cut(ref: str) -> int:
        return processor.cut([read_image(ref, max_pixels=MAX_PIXELS).image])[0].pixels.nbytes

    def packed(ref: str) -> int:
        return len(PictureEncoder(MAX_PIXELS, "jpeg").encode(ref).data_url)  # a new one keeps nothing

    return [
        JobKind("training", 1 / GROUP, timed([partial(cut, ref) for ref in refs]), cut(refs[0])),
        JobKind("server", 1 / GROUP, timed([partial(packed, ref) for ref in refs]), packed(refs[0])),
    ]


def real_settings(tiny: Path, folder: Path) -> Path:
    """The tiny model's tokenizer beside the published picture settings of Qwen2.5-VL."""
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    path = folder / "preprocessor_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings |= {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    settings["size"] = {"shortest_edge": 3136, "longest_edge": 12_845_056}
    path.write_text(json.dumps(settings), encoding="utf-8")
    return folder


def asking(refs: Sequence[str], folder: Path) -> dict[str, float]:
    """Requests per CPU second of the process that asks: text alone, and with pictures that workers have packed."""
    from srpo.core.records import Problem, Sampling
    from srpo.models.cache import ResponseCache
    from srpo.models.config import ServerConfig
    from srpo.models.meter import Meter
    from srpo.models.protocol import Message, Request
    from srpo.models.remote import RemoteGenerator
    from srpo.models.remote_request import RequestBuilder

    found = {}
    with subprocess.Popen(SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as serving:
        assert serving.stdout is not None
        server = ServerConfig(model="m", base_url=serving.stdout.readline().strip(), timeout_s=600)
        for name, images in (("text", [()] * len(refs)), ("picture", [(ref,) for ref in refs])):
            requests = [
                Request(problem=Problem(id=f"{number}", question="q", answer="1", images=one), messages=(
                    Message(role="user", text=f"{number}. {THINK * 10}"),
                ), num_samples=GROUP)
                for number, one in enumerate(images)
            ]  # fmt: skip
            built = [RequestBuilder(server, ()).build(one, Sampling(), server.base_url)[0] for one in requests]
            with (
                ResponseCache(folder / f"{name}.sqlite") as cache,
                RemoteGenerator(server, cache=cache, meter=Meter()) as generator,
            ):
                generator.ask(built[:10])
                began_s = time.process_time()
                generator.ask(built[10:])
                found[name] = round((len(built) - 10) / (time.process_time() - began_s), 1)
        serving.terminate()
    return found


def write_picture(path: Path, seed: int) -> str:
    from PIL import Image, ImageDraw

    rng = random.Random(seed)
    image = Image.effect_noise(SIZE, 60).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, SIZE[0] // 2, SIZE[1]), fill="white")
    for _ in range(40):
        x, y = rng.randrange(SIZE[0] // 2), rng.randrange(SIZE[1])
        draw.ellipse((x, y, x + 60, y + 60), outline="black", fill=(rng.randrange(256), 90, 90), width=3)
    image.save(path, "JPEG", quality=90)
    return str(path)


def stage_1_path(num: int, folder: Path) -> JobKind:
    """A worker of `models.relay`, its servers' answers at hand."""
    from srpo.core.records import Origin, Sampling
    from srpo.data.config import SourceConfig
    from srpo.data.sources import load_problems
    from srpo.models.cache import Answer, Choice
    from srpo.models.relay.worker import RelayWorker, WantedAnswers
    from srpo.models.remote_request import Prepared
    from srpo.reflect.batches import ReflectWork
    from srpo.reflect.models import Overrides
    from tests.support.served_sums import answer, config, write_problems

    def answered(prepared: Prepared) -> Answer:
        texts = [answer(prepared.body, sample) for sample in range(prepared.num_samples)]
        return Answer(choices=tuple(Choice(text=text, finish="stop") for text in texts), num_in=500, num_out=300)

    data = write_problems(folder, num)
    cfg = config("http://127.0.0.1:9/v1", data, batch_size=8, num_samples=GROUP)
    origin = Origin(stage="reflect", model="m", sampling=Sampling(), prompt="p", srpo_version="0", commit="0")
    worker = RelayWorker(ReflectWork(cfg, origin, Overrides()), "", Path.cwd())
    problems = load_problems(SourceConfig(path=str(data))).problems
    seconds = []
    for number in range(0, num, 8):
        # Its own thread works; this one only brings the answers, and makes them while the clock does not count.
        batch, taken_s = problems[number : number + 8], 0.0
        began_s = time.process_time()
        step = worker.begin(number, batch)
        while isinstance(step, WantedAnswers):
            taken_s += time.process_time() - began_s
            answers = [answered(one) for one in step.requests]
            began_s = time.process_time()
            step = worker.go_on(number, answers)
        taken_s += time.process_time() - began_s
        seconds.append(taken_s / (len(batch) * GROUP))
    return JobKind("stage 1", 1.0, seconds[1:], 0)


def report(paths: Sequence[JobKind]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in paths:
        ordered = sorted(path.seconds)
        queues = {str(rate): cores_for(rate * path.per_response, path.seconds) for rate in RATES}
        found[path.name] = {
            "jobs": len(path.seconds),
            "jobs_per_response": path.per_response,
            "mean_ms": round(1e3 * statistics.fmean(path.seconds), 3),
            "p99_ms": round(1e3 * ordered[len(ordered) * 99 // 100], 3),
            "bytes": path.num_bytes,
            "at": {
                rate: {
                    "cores": queue.cores,
                    "busy": round(queue.busy, 3),
                    "wait_mean_ms": round(1e3 * queue.mean_s, 2),
                    "wait_p99_ms": round(1e3 * queue.p99_s, 2),
                    "mb_per_s": round(int(rate) * path.per_response * path.num_bytes / 1e6, 1),
                }
                for rate, queue in queues.items()
            },
        }
    return found


def table(paths: dict[str, Any]) -> str:
    """The result as Markdown."""
    heads = ("path", "jobs a response", "ms a job, mean (p99)", "cores at 1,000/s", "at 10,000/s", "busy",
             "p99 of the wait", "MB/s at 10,000/s")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, path in paths.items():
        low, high = (path["at"][str(rate)] for rate in RATES)
        lines.append(
            f"| {name} | {path['jobs_per_response']:g} | {path['mean_ms']:.2f} ({path['p99_ms']:.2f}) | {low['cores']} "
            f"| {high['cores']} | {high['busy']:.0%} | {high['wait_p99_ms']:.0f} ms | {high['mb_per_s']:,.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=1000, help="responses; pictures are a fifth of them")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        refs = [write_picture(folder / f"{number}.jpg", number) for number in range(options.num // 5)]
        paths = [reward_path(options.num), *picture_paths(refs, folder), stage_1_path(options.num // 2, folder)]
        asked = asking(refs, folder)
    command, found = f"python -m benchmarks.scale_paths --num {options.num}", report(paths)
    keep(options.results, "paths", {"command": command, "paths": found, "requests_per_cpu_second": asked})
    print(table(found))
    print("requests per CPU second of the command: " + ", ".join(f"{rate:g} ({kind})" for kind, rate in asked.items()))


if __name__ == "__main__":
    main()
