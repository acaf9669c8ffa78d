"""What a request to a server costs us: finished requests per second of one core, against an instant server.

    python benchmarks/remote_overhead.py [--num 3000] [--out benchmarks/results/remote_overhead.json]

The server runs in another process on loopback and answers at once, so what is measured is our side alone: building,
sending, reading, counting, and the commit to the cache. The peer is the bare `openai` client in one event loop, which
does neither counting nor caching: with its default transport, and with the aiohttp one that we use. Rates per second of
CPU time say what one core does, whatever else the machine is doing; rates per second of wall time are printed beside.
The bar is 500 a second of one core, with a cache.
"""

import argparse
import asyncio
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

FAULT_SERVER = Path(__file__).parents[1] / "tests/support/fault_server.py"
CONCURRENCY = 32
BATCH = 32
BAR = 500


class Speed(NamedTuple):
    per_cpu_second: float
    per_second: float


@contextmanager
def instant_server() -> Iterator[str]:
    """The address of a server in another process."""
    process = subprocess.Popen([sys.executable, str(FAULT_SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def measure(num: int, work: Callable[[], object]) -> Speed:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Speed(num / (time.process_time() - cpu), num / (time.perf_counter() - wall))


def ours(url: str, num: int, *, cached: bool) -> Speed:
    from srpo.core.records import Problem, Sampling
    from srpo.models.cache import ResponseCache
    from srpo.models.config import ServerConfig
    from srpo.models.meter import Meter
    from srpo.models.protocol import Message, Request
    from srpo.models.remote import RemoteGenerator

    def batch(start: int, size: int = BATCH) -> list[Request]:
        numbers = range(start, start + size)
        return [
            Request(
                problem=Problem(id=str(i), question=f"hello {i}", answer="1"),
                messages=(Message(role="user", text=f"hello {i}"),),
            )
            for i in numbers
        ]

    server, sampling = ServerConfig(model="m", base_url=url, concurrency=CONCURRENCY), Sampling()
    with tempfile.TemporaryDirectory() as folder, ResponseCache(Path(folder) / "c.sqlite") as cache:
        meter = Meter()
        with (
            RemoteGenerator(server, cache=cache if cached else None, meter=meter) as generator,
            ThreadPoolExecutor(4) as threads,
        ):
            generator.generate(batch(-BATCH), sampling)
            starts = range(0, num, BATCH)
            work = lambda: list(threads.map(lambda start: generator.generate(batch(start), sampling), starts))  # noqa: E731
            speed = measure(len(starts) * BATCH, work)
        assert meter.usage.num_requests == (len(starts) + 1) * BATCH, meter.usage
    return speed


def bare(url: str, num: int, *, aiohttp: bool) -> Speed:
    import openai

    async def run() -> Speed:
        http = openai.DefaultAioHttpClient() if aiohttp else openai.DefaultAsyncHttpxClient()
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:
            room = asyncio.Semaphore(CONCURRENCY)

            async def one(i: int) -> None:
                async with room:
                    await client.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": f"hello {i}"}], seed=i, max_tokens=256
                    )

            await asyncio.gather(*[one(-i) for i in range(1, BATCH + 1)])
            cpu, wall = time.process_time(), time.perf_counter()
            await asyncio.gather(*[one(i) for i in range(num)])
            return Speed(num / (time.process_time() - cpu), num / (time.perf_counter() - wall))

    return asyncio.run(run())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=3000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with instant_server() as url:
        speeds = {
            "srpo, cache on disk": ours(url, options.num, cached=True),
            "srpo, no cache": ours(url, options.num, cached=False),
            "openai client, its aiohttp transport": bare(url, options.num, aiohttp=True),
            "openai client as it comes": bare(url, options.num, aiohttp=False),
        }
    first = next(iter(speeds.values()))
    for name, speed in speeds.items():
        ratio = first.per_cpu_second / speed.per_cpu_second
        print(
            f"{name:<37} {speed.per_cpu_second:>6.0f} requests/s of one core  {speed.per_second:>6.0f}/s wall", end=""
        )
        print("" if speed is first else f"   srpo with cache is {ratio:.2f}x as fast")
    if options.out:
        result: dict[str, Any] = {
            "command": "python " + " ".join(["benchmarks/remote_overhead.py", *sys.argv[1:]]),
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, busy; trust the rates per CPU second",
            "num": options.num,
            "per_cpu_second": {name: round(speed.per_cpu_second) for name, speed in speeds.items()},
            "per_wall_second": {name: round(speed.per_second) for name, speed in speeds.items()},
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if first.per_cpu_second < BAR:
        print(f"below the bar of {BAR} a second")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
