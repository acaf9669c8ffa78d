"""What of `make verl-smoke` is kept beside its figures: verl's log of it, shortened, and a report that fits into git.

The log holds of every start what tells how it went: data, model, steps, checkpoints, errors. The report is that of
`srpo report` without plotly.js, which is five megabytes; where a figure would be, it says so.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from srpo.report.page import write_report

ROOT = Path(__file__).parents[1]
LOG, REPORT = "verl_smoke.log", "verl_smoke.html"
_KEPT = re.compile(
    r"validate_config|Platform override|dataset len|dataset class|Started a local Ray|Total training steps|Error"
    r"|step:\d+ - |Saving checkpoint|Saved hf_model|checkpoint tracker|Found latest checkpoint|Total time for train"
)
_NOISE = re.compile(r"engine is not available|^\(pid=")
_COLOUR, _PROCESS = re.compile(r"\x1b\[[0-9;]*m"), re.compile(r" pid=\d+")
_PATH = re.compile(r"(/[\w.+-]+){3,}")
_LONGEST = 600
_NO_FIGURES = """
window.Plotly = {react: (node) => {
  node.textContent = "The figure is left out of this copy, which is without plotly.js; `srpo report` on a run has it.";
  return Promise.resolve(node);
}};
"""


def shortened_log(runs: Sequence[Path]) -> str:
    """The telling lines of all starts of these runs, paths by their last two parts."""
    lines: list[str] = []
    for run in runs:
        for file in sorted(run.glob("engine/launch-*/log")):
            lines.append(f"== {run.name}, {file.parent.name}")
            text = _COLOUR.sub("", file.read_text(encoding="utf-8", errors="replace")).replace("\r", "\n")
            kept = (one for one in text.splitlines() if _KEPT.search(one) and not _NOISE.search(one))
            lines += [_PATH.sub(_shortened, _PROCESS.sub("", one))[:_LONGEST] for one in kept]
    return "\n".join(lines) + "\n"


def _shortened(path: re.Match[str]) -> str:
    return "../" + "/".join(path[0].split("/")[-2:])


def small_report(runs: Sequence[Path], out: Path) -> None:
    """Write the report of these runs without plotly.js, and without the places of this machine."""
    with mock.patch("plotly.offline.get_plotlyjs", return_value=_NO_FIGURES):
        write_report(runs, out)
    page = out.read_text(encoding="utf-8")
    for place, name in {str(runs[0].parent): "runs/verl-smoke", f"{ROOT}/": "", str(Path.home()): "~"}.items():
        page = page.replace(place, name)
    out.write_text(page, encoding="utf-8")
    for ending in (".md", ".json"):
        out.with_suffix(ending).unlink()


def keep(runs: Sequence[Path], folder: Path) -> None:
    """Put log and report into the folder of the results."""
    (folder / LOG).write_text(shortened_log(runs), encoding="utf-8")
    small_report(runs, folder / "smoke-report.html")
    (folder / "smoke-report.html").replace(folder / REPORT)
