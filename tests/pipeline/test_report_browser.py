"""A report as a browser shows it: what waits is shown when it is scrolled to, and nothing is asked of the network."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from srpo.report import write_report
from srpo.report.cards import AT_ONCE
from tests.support.browser import Tab, browsing
from tests.support.hostile import NASTY, hostile_trace
from tests.support.report_runs import traces, with_pictures, write_run

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or ""

pytestmark = pytest.mark.skipif(not BROWSER, reason="no chromium on this machine")

SHOWN = "[...document.querySelectorAll('#cards article')].filter((one) => !one.hidden)"
NAMES = "[...document.querySelectorAll('*')].flatMap((one) => one.getAttributeNames())"
HANDLERS = f"{NAMES}.filter((name) => /^on/i.test(name)).length"
SETTLED = "new Promise((done) => setTimeout(done, 600))"


def asked(page: Path, profile: Path, *expressions: str) -> list[Any]:
    """The values of expressions on the open page, one after the other."""

    async def ask(tab: Tab) -> list[Any]:
        await tab.go(page.as_uri())
        return [await tab.evaluate(one) for one in expressions]

    async def run() -> list[Any]:
        async with browsing(BROWSER, profile) as browser, browser.tab() as tab:
            return await ask(tab)

    return asyncio.run(run())


def test_cards_that_wait_come_with_their_pictures_and_filters_find_them(tmp_path: Path) -> None:
    made = with_pictures(traces(400, 0.5, 0.4, 0.2, 1), tmp_path / "pictures")
    write_run(tmp_path / "run", "eval", made)
    page = write_report([tmp_path / "run"], tmp_path / "r.html", num_cards=300)
    first, _, _, scrolled, pictures, _, words, outcomes, left = asked(
        page,
        tmp_path / "profile",
        f"{SHOWN}.length",
        "scrollTo(0, document.documentElement.scrollHeight)",
        SETTLED,
        f"{SHOWN}.length",
        f"{SHOWN}.every((card) => [...card.querySelectorAll('img')].every((one) => one.src.startsWith('data:image')))",
        "document.querySelector('.filter [data-value=\"right→wrong\"]').click()",
        "document.querySelector('.shown').textContent",
        f"[...new Set({SHOWN}.map((card) => card.dataset.outcome))]",
        "performance.getEntriesByType('resource').filter((one) => !one.name.startsWith('data:')).length",
    )
    assert first == AT_ONCE
    assert scrolled >= 2 * AT_ONCE
    assert pictures is True
    assert words.endswith(" of 300 match")
    assert outcomes == ["right→wrong"]
    assert left == 0


def test_hostile_texts_run_nothing_and_formulas_have_a_size(tmp_path: Path) -> None:
    made = [hostile_trace(text, number, "x") for number, text in enumerate((*NASTY, r"\frac{1}{2}", "9" * 10**6))]
    write_run(tmp_path / "run", "rl", made)
    page = write_report([tmp_path / "run"], tmp_path / "r.html")
    handlers, scripts, links, height, asks = asked(
        page,
        tmp_path / "profile",
        HANDLERS,
        "document.querySelectorAll('main script:not([type]), iframe, object, embed, base, form').length",
        "document.querySelectorAll('main a[href]:not([href^=\"#\"])').length",
        "document.querySelector('math').getBoundingClientRect().height",
        "performance.getEntriesByType('resource').length",
    )
    assert (handlers, scripts, links, asks) == (0, 0, 0, 0)
    assert height > 10
