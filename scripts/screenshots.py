"""Pictures of the report and of the live view of some runs, as Chromium draws them: wide, narrow and dark.

    python scripts/screenshots.py RUN... --out FOLDER [--browser chromium]

Writes FOLDER/{report,gallery,trace,group}-{wide,narrow,dark}.png, for people who change a page and want to see it.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from srpo.report import write_report

LOOKS = {
    "wide": ((1280, 2400), "1"),
    "narrow": ((420, 2400), "1"),
    "dark": ((1280, 2400), "0"),
}
"""Size of the window, and Chromium's number for a light or dark page."""
PATIENCE_S = 180


def main() -> int:
    """Take all pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--height", type=int, default=2400)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, viewed(arguments.runs) as (address, label):
        report = write_report(arguments.runs, Path(folder) / "report.html")
        pages = {
            "report": report.as_uri(),
            "gallery": f"{address}?outcome=w2r&outcome=r2w",
            "trace": f"{address}trace?of={label}&n=1",
            "group": f"{address}group?of={label}&n=1",
        }
        for name, page in pages.items():
            for look, (size, scheme) in LOOKS.items():
                picture = arguments.out / f"{name}-{look}.png"
                take(arguments.browser, page, picture, (size[0], arguments.height), scheme)
                print(picture)
    return 0


@contextmanager
def viewed(runs: list[Path]) -> Iterator[tuple[str, str]]:
    """A live view of the runs: its address, and the label of the last run, written as in addresses."""
    from urllib.parse import quote

    from srpo.report.open import labelled_runs

    words = [sys.executable, "-m", "srpo", "view", *map(str, runs), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  our own words
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), quote(labelled_runs(runs)[-1].label)
        finally:
            process.terminate()


def take(browser: str, page: str, picture: Path, size: tuple[int, int], scheme: str) -> None:
    """One picture of one page."""
    words = [
        browser,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=4000",
    ]
    words += [f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}"]
    words += [f"--blink-settings=preferredColorScheme={scheme}", page]
    subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE_S)  # noqa: S603  as above


if __name__ == "__main__":
    sys.exit(main())
