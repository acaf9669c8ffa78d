"""What `srpo doctor` looks at: each check finds facts, and says which of them keep something from working.

A finding is `fine`, `note` (worth knowing, nothing fails by it) or `broken` (what is needed does not work). Keys are
told by the names of their variables, never by their values.
"""

import os
import platform
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from srpo.core.records import Problem, Record, Sampling
from srpo.runs.extras import EXTRAS, is_installed

if TYPE_CHECKING:
    from srpo.models.config import ServerConfig

BASE = ("pydantic", "yaml", "numpy", "math_verify")
"""What is imported without any extra."""
KEYS = ("OPENAI_API_KEY", "HF_TOKEN", "WANDB_API_KEY")
"""Variables that are looked for; those that a config names come on top."""
_LEAST_BYTES, _SCARCE_BYTES = 2**30, 20 * 2**30
"""A checkpoint of the tiny model, and one of a small real one with its optimizer."""
_CONNECT_S = 3.0
_PROMPT = "How many sides has a triangle?"
_FEW_TOKENS = 16


class Finding(Record):
    """One thing that was looked at."""

    about: str
    """`python`, `extra train`, `disk`, .."""
    state: Literal["fine", "note", "broken"]
    what: str
    """What was found, and for what is broken, what to do."""


def surroundings() -> Iterator[Finding]:
    """Python, machine and the packages that everything needs."""
    from srpo import __version__

    where = f"srpo {__version__}, Python {platform.python_version()} in {sys.prefix}, {platform.platform()}"
    yield Finding(about="python", state="fine", what=where)
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(about="machine", state="fine", what=f"{cores} cores, {_memory()}, OMP_NUM_THREADS {threads}")
    missing = [name for name in BASE if not is_installed(name)]
    told = f"missing {', '.join(missing)}; pip install srpo" if missing else _versions(BASE)
    yield Finding(about="base", state="broken" if missing else "fine", what=told)


def extras(needed: Sequence[str] = ()) -> Iterator[Finding]:
    """Which extras are installed; those that are `needed` must be."""
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if not is_installed(name)]
        if missing:
            state: Literal["note", "broken"] = "broken" if extra in needed else "note"
            what = f"without {', '.join(missing)}; pip install 'srpo[{extra}]'"
            yield Finding(about=f"extra {extra}", state=state, what=what)
        else:
            yield Finding(about=f"extra {extra}", state="fine", what=_versions(modules))
    for line in _outside_bounds():
        yield Finding(about="versions", state="broken", what=line)


def gpu() -> Iterator[Finding]:
    """Whether torch sees a GPU, and whether there is one that it does not see."""
    if not is_installed("torch"):
        return
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            what = f"{name}, {size(free)} of {size(total)} free, torch {torch.__version__}"
            yield Finding(about=f"cuda:{index}", state="fine", what=what)
    elif shutil.which("nvidia-smi") and Path("/dev/nvidiactl").exists():
        what = (
            f"this machine has an NVIDIA driver, and torch {torch.__version__} does not see a GPU; "
            "install the CUDA build of torch for that driver, or look at CUDA_VISIBLE_DEVICES"
        )
        yield Finding(about="gpu", state="broken", what=what)
    else:
        yield Finding(about="gpu", state="note", what="none; `device: auto` takes the CPU")


def disk() -> Iterator[Finding]:
    """Room and rights where runs, temporary files and the hub's cache go."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    for about, path in (("runs", Path.cwd()), ("temporary", Path(tempfile.gettempdir())), ("hub cache", home)):
        there = next(place for place in (path, *path.parents) if place.exists())
        free = shutil.disk_usage(there).free
        what = f"{path}: {size(free)} free"
        if not os.access(there, os.W_OK):
            yield Finding(about=f"disk, {about}", state="broken", what=f"{what}, and may not be written to")
        elif free < _LEAST_BYTES:
            yield Finding(about=f"disk, {about}", state="broken", what=f"{what}; make room")
        else:
            yield Finding(about=f"disk, {about}", state="note" if free < _SCARCE_BYTES else "fine", what=what)


def keys(servers: "Sequence[ServerConfig]" = ()) -> Iterator[Finding]:
    """Which variables with keys are set; those of a config's servers must be, unless a server needs none."""
    wanted = {server.api_key_env for server in servers if not server.base_url.startswith("http://")}
    for name in dict.fromkeys((*wanted, *(server.api_key_env for server in servers), *KEYS)):
        there = bool(os.environ.get(name, "").strip())
        state: Literal["fine", "note", "broken"] = "fine" if there else "broken" if name in wanted else "note"
        told = "set" if there else "not set; export it" if name in wanted else "not set"
        yield Finding(about=f"key {name}", state=state, what=told)


def ports(servers: "Sequence[ServerConfig]" = ()) -> Iterator[Finding]:
    """Whether a server of our own can listen, and whether those of a config can be reached; nothing is sent."""
    try:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
        yield Finding(about="port", state="fine", what="a port of 127.0.0.1 can be opened")
    except OSError as error:
        yield Finding(about="port", state="broken", what=f"no port of 127.0.0.1 can be opened: {error.strerror}")
    for server in servers:
        address = urlsplit(server.base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1")
        host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
        try:
            socket.create_connection((host, port), timeout=_CONNECT_S).close()
        except OSError as error:
            what = f"{host}:{port} cannot be reached: {error}; start it, or mend base_url"
            yield Finding(about=f"server {server.model}", state="broken", what=what)
        else:
            yield Finding(about=f"server {server.model}", state="fine", what=f"{host}:{port} takes connections")


def grading() -> Iterator[Finding]:
    """Whether rules and computer algebra, in its worker process, decide as they must."""
    from srpo.grading import Grader

    # A sum that is too long for the rules, so that math-verify has to.
    problem = Problem(id="doctor", question="What is the sum?", answer=r"$\sum_{k=1}^{100} k$")
    start = time.perf_counter()
    try:
        with Grader(symbolic=True) as grader:
            right, wrong = (grader.grade(problem, text) for text in ("5050", "5051"))
    except Exception as error:  # whatever it is, it is what the user came to find out
        yield Finding(about="grading", state="broken", what=f"math-verify does not work: {error}")
        return
    if (right.verdict, wrong.verdict) == ("correct", "incorrect") and "symbolic" in right.reason:
        what = f"rules and math-verify work, {time.perf_counter() - start:.1f} s"
        yield Finding(about="grading", state="fine", what=what)
    else:
        verdicts = f"{right.verdict} ({right.reason}) and {wrong.verdict}"
        what = f"1 + 2 + .. + 100 is 5050 and not 5051, but the verdicts are {verdicts}"
        yield Finding(about="grading", state="broken", what=f"{what}; install math-verify anew")


def generation(model: str, device: str) -> Iterator[Finding]:
    """A few tokens about a picture, by a checkpoint."""
    if any(not is_installed(name) for name in (*EXTRAS["data"], *EXTRAS["train"])):
        yield Finding(about="generation", state="note", what="not tried without the extra train")
        return
    from srpo.models.local import load_generator
    from srpo.models.protocol import Message, Request

    problem = Problem(id="doctor", question=_PROMPT, answer="3", images=("drawn:pairs/1/7",))
    start = time.perf_counter()
    try:
        generator = load_generator(model, device=device, dtype="auto", max_pixels=None)
        request = Request(problem=problem, messages=(Message(role="user", text=_PROMPT),))
        ((one,),) = generator.generate([request], Sampling(temperature=0.0, max_tokens=_FEW_TOKENS))
    except Exception as error:  # whatever it is, it is what the user came to find out
        yield Finding(about="generation", state="broken", what=f"{model}: {type(error).__name__}: {error}")
        return
    what = f"{model} wrote {one.num_tokens} tokens about a picture, {time.perf_counter() - start:.1f} s with loading"
    yield Finding(about="generation", state="fine", what=what)


def _memory() -> str:
    try:
        return f"{size(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))} of memory"
    except (ValueError, OSError, AttributeError):
        return "memory not known"


def size(num_bytes: int) -> str:
    """Bytes for people.

    >>> size(3 * 2**29)
    '1.5 GiB'
    """
    return f"{num_bytes / 2**30:.1f} GiB"


def _versions(modules: Sequence[str]) -> str:
    owners = metadata.packages_distributions()
    names = [owners.get(name, [name])[0] for name in modules]
    return ", ".join(f"{name} {_version(name)}" for name in dict.fromkeys(names))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # copied to where Python looks, not installed
        return "of unknown version"


def _outside_bounds() -> Iterator[str]:
    """Installed packages whose versions are not those that srpo asks for."""
    if not is_installed("packaging"):
        return
    from packaging.requirements import Requirement

    for text in metadata.requires("srpo") or ():
        wanted = Requirement(re.sub(r"\[[^]]*\]", "", text.partition(";")[0]))
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            yield f"{wanted.name} {found} is installed, srpo needs {wanted.specifier}; pip install '{wanted}'"
