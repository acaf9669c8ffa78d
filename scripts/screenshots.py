"""Pictures of report, leaderboard, live view and docs, as Chromium draws them: wide, narrow and dark.

    python scripts/screenshots.py RUN... --out FOLDER [--docs SITE] [--axe node_modules/axe-core/axe.min.js]

Writes FOLDER/NAME-{wide,narrow,dark}.png, for people who change a page and want to see it; SITE is what `mkdocs build`
wrote. With `--axe`, what axe-core finds on our own pages is printed too, and the exit code is 1 if any of it is serious
or critical (`npm install axe-core`). Pages of the site have the theme of its builder and are not asked about.
"""

import argparse
import asyncio
import base64
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from srpo.report import write_report
from srpo.report.open import labelled_runs

if TYPE_CHECKING:
    from tests.support.browser import Tab

LOOKS = {"wide": (1280, "light"), "narrow": (400, "light"), "dark": (1280, "dark")}
"""Pixels and colour scheme."""
TALLEST = 9000
DOCS = ("index", "quickstart", "method", "report", "report-panels", "config")
BAD = frozenset({"serious", "critical"})
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> int:
    """Take all pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--axe", type=Path)
    parser.add_argument("--docs", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    axe = arguments.axe.read_text(encoding="utf-8") if arguments.axe else ""
    with tempfile.TemporaryDirectory() as folder, viewed(arguments.runs) as (address, label, trained):
        report = write_report(arguments.runs, Path(folder) / "report.html")
        pages = {
            "report": report.as_uri(),
            "gallery": f"{address}?outcome=w2r&outcome=r2w",
            "trace": f"{address}trace?of={label}&n=1",
            "group": f"{address}group?of={trained}&n=1",
            "nothing": f"{address}?q=no+response+says+this",
            "trouble": f"{address}trace?of=nobody&n=1",
            "leaderboard": leaderboard(Path(folder) / "leaderboard.html").as_uri(),
        }
        site = arguments.docs.resolve() if arguments.docs else None
        pages |= {f"docs-{name}": (site / f"{name}.html").as_uri() for name in DOCS} if site else {}
        return asyncio.run(take_all(arguments.browser, pages, arguments.out, Path(folder) / "profile", axe))


def leaderboard(out: Path) -> Path:
    """The page of published numbers, and of no run."""
    words = [sys.executable, "-m", "srpo", "leaderboard", "--out", str(out)]
    subprocess.run(words, check=True, stdout=subprocess.PIPE)  # noqa: S603  our own words
    return out


async def take_all(program: str, pages: dict[str, str], out: Path, profile: Path, axe: str) -> int:
    """Every page in every look; the exit code."""
    from tests.support.browser import browsing

    code = 0
    async with browsing(program, profile) as browser:
        for name, page in pages.items():
            for look, (width, scheme) in LOOKS.items():
                async with browser.tab() as tab:
                    await take(tab, page, out / f"{name}-{look}.png", width, scheme)
                    for line in await violations(tab, axe) if axe and not name.startswith("docs-") else ():
                        print(f"{name} {look}: {line}")
                        code = 1 if line.split(":")[0] in BAD else code
    return code


async def take(tab: "Tab", page: str, picture: Path, width: int, scheme: str) -> None:
    """One picture of a whole page, as far as it is not taller than `TALLEST`."""
    await tab.ask(
        "Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=width < 700
    )
    await tab.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    await tab.go(page)
    height = min(TALLEST, await tab.evaluate("document.documentElement.scrollHeight"))
    # Plots are drawn when they come near the screen.
    await tab.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    await tab.evaluate("new Promise((done) => setTimeout(done, 1500))")
    shot = await tab.ask("Page.captureScreenshot", format="png")
    picture.write_bytes(base64.b64decode(shot["data"]))
    wide = await tab.evaluate("document.documentElement.scrollWidth")
    print(picture, f"is {wide - width} pixels too wide" if wide > width else "")


async def violations(tab: "Tab", axe: str) -> list[str]:
    """What axe-core finds on the open page, a line each: impact, rule, places."""
    await tab.evaluate(f"{axe};0")
    found: list[dict[str, Any]] = await tab.evaluate("axe.run().then((found) => found.violations)")
    return [
        f"{one['impact']}: {one['id']} ({one['help']}), {len(one['nodes'])}x, {one['nodes'][0]['html'][:140]}"
        for one in found
    ]


@contextmanager
def viewed(runs: list[Path]) -> Iterator[tuple[str, str, str]]:
    """A live view of the runs: its address, and the labels of the last run and of the last training by RL in it."""
    found = labelled_runs(runs)
    trained = [one.label for one in found if one.run.stage == "rl"]
    words = [sys.executable, "-m", "srpo", "view", *map(str, runs), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  our own words
        assert process.stdout is not None
        try:
            label = found[-1].label
            yield process.stdout.readline().strip(), quote(label), quote((trained or [label])[-1])
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
