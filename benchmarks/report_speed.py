"""How long Chromium takes to open a report with many responses.

    .venv/bin/python benchmarks/report_speed.py [--samples 5000] [--browser chromium] [--out FILE]

The committed run is benchmarks/results/report_speed.json. Made traces with drawn pictures, no model. The page is opened
three times in a fresh tab of one browser, and once more with the fewest responses that a report has; the fastest
opening of each counts, until the `load` event and until the first frame after it. Wall seconds on a busy machine say as
much about its neighbours, so the seconds of the CPU that the tab's process took stand beside them. Exit code 1 if 5,000
responses take 3 s of CPU or more until `load`.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srpo.core.records import Trace
from srpo.report import write_report

if TYPE_CHECKING:
    from tests.support.browser import Browser

ROOT = Path(__file__).resolve().parents[1]
MOST_S = 3.0
FAMILIES = ("area", "bars", "count", "maze", "oddone")
sys.path.insert(0, str(ROOT))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(Path(folder), arguments.browser, number) for number in (48, arguments.samples)]
    text = json.dumps({"browser": version(arguments.browser), "reports": rows}, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0 if rows[-1]["load_cpu_s"] < MOST_S else 1


def measured(folder: Path, browser: str, samples: int) -> dict[str, Any]:
    from tests.support.report_runs import traces, write_run

    if not (folder / "run").exists():
        made = [drawn(trace, at) for at, trace in enumerate(traces(2 * max(samples, 6000), 0.5, 0.4, 0.2, 1))]
        write_run(folder / "run", "eval", made)
    started_s = time.process_time()
    page = write_report([folder / "run"], folder / f"{samples}.html", num_cards=samples)
    made_s = time.process_time() - started_s
    opened = asyncio.run(open_page(browser, page, folder / f"profile-{samples}"))
    size = page.stat().st_size / 2**20
    return {"samples": samples, "mib": round(size, 1), "made_cpu_s": round(made_s, 1), **opened}


def drawn(trace: Trace, at: int) -> Trace:
    """With a picture that is drawn, and an id of its own."""
    family = FAMILIES[at % len(FAMILIES)]
    changes = {"images": (f"drawn:{family}/1/{at // 5 % 2000}",), "id": f"{family}-{at}", "family": family}
    return trace.model_copy(update={"problem": trace.problem.model_copy(update=changes)})


async def open_page(program: str, page: Path, profile: Path) -> dict[str, float]:
    from tests.support.browser import browsing

    async with browsing(program, profile) as browser:
        runs = [await open_once(browser, page) for _ in range(3)]
    return {name: min(run[name] for run in runs) for name in runs[0]}


async def open_once(browser: "Browser", page: Path) -> dict[str, float]:
    """Seconds until `load` and until the frame after it."""
    async with browser.tab() as tab:

        async def cpu_s() -> float:
            metrics = (await tab.ask("Performance.getMetrics"))["metrics"]
            return float(next(one["value"] for one in metrics if one["name"] == "ProcessTime"))

        await tab.ask("Performance.enable")
        cpu, wall = await cpu_s(), time.perf_counter()
        await tab.go(page.as_uri())
        load = {"load_cpu_s": await cpu_s() - cpu, "load_wall_s": time.perf_counter() - wall}
        await tab.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        seen = {"frame_cpu_s": await cpu_s() - cpu, "frame_wall_s": time.perf_counter() - wall}
    return {name: round(value, 2) for name, value in (load | seen).items()}


def version(browser: str) -> str:
    return subprocess.run([browser, "--version"], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
