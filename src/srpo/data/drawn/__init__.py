"""Problems that we draw ourselves: families of visual reasoning with known answers and known solution steps.

    >>> problem = drawn_problems("train", families=("pairs",), levels=(1,), count=1, seed=0)[0]
    >>> scene_of(problem.images[0]).answer == problem.answer
    True

A picture's reference `drawn:<family>/<level>/<seed>` is all that is stored: scene and picture are made from it again.
"""

import functools
import random
from collections.abc import Sequence
from typing import Final

from PIL import Image

from srpo.core.records import DRAWN, Problem
from srpo.data.config import Split
from srpo.data.drawn.area import Area
from srpo.data.drawn.bars import Bars
from srpo.data.drawn.clock import Clock
from srpo.data.drawn.count import Count
from srpo.data.drawn.digits import Digits
from srpo.data.drawn.maze import Maze
from srpo.data.drawn.oddone import OddOne
from srpo.data.drawn.pairs import Pairs
from srpo.data.drawn.scene import Scene
from srpo.data.drawn.splits import SPLITS, split_of
from srpo.data.drawn.tiles import Tiles
from srpo.data.drawn.weights import Weights

_FAMILIES: Final = {
    family.family: family for family in (Area, Bars, Clock, Count, Digits, Maze, OddOne, Pairs, Tiles, Weights)
}
FAMILIES: Final = tuple(_FAMILIES)
LEVELS: Final = (1, 2)


def is_drawn(ref: str) -> bool:
    """True for picture references that this package resolves."""
    return ref.startswith(DRAWN)


@functools.lru_cache(maxsize=100_000)
def scene_of(ref: str) -> Scene:
    """The scene behind a reference; ValueError names what is wrong with a malformed one."""
    family, _, rest = ref.removeprefix(DRAWN).partition("/")
    level, _, seed = rest.partition("/")
    if not is_drawn(ref) or family not in _FAMILIES or not level.isdecimal() or not seed.isdecimal():
        raise ValueError(
            f"{ref!r} is not a drawn picture; expected drawn:<family>/<level>/<seed>, family in {FAMILIES}"
        )
    if int(level) not in LEVELS:
        raise ValueError(f"{ref!r}: level {level} does not exist; levels are {LEVELS}")
    return _FAMILIES[family].make(random.Random(f"{family}/{level}/{seed}"), int(level))


def render_ref(ref: str) -> Image.Image:
    """The picture behind a reference, 84x84 RGB."""
    return scene_of(ref).draw()


def drawn_problems(
    split: Split,
    *,
    families: Sequence[str] = FAMILIES,
    levels: Sequence[int] = LEVELS,
    count: int,
    seed: int = 0,
) -> list[Problem]:
    """Draw `count` different problems of a split, families and levels in turn.

    The same arguments give the same problems. Raises ValueError for unknown families or splits, and when a family
    runs out of different problems.
    """
    _check_request(split, families, levels)
    rng = random.Random(f"{split}/{seed}")
    seen: set[str] = set()
    problems: list[Problem] = []
    wanted = [(family, level) for level in levels for family in families]
    while len(problems) < count:
        family, level = wanted[len(problems) % len(wanted)]
        problems.append(_draw_new(split, family, level, rng, seen))
    return problems


def draw_problem(split: Split, family: str, level: int, rng: random.Random) -> Problem:
    """Draw one problem of a split; a later call may draw the same one again."""
    while True:
        ref = f"{DRAWN}{family}/{level}/{rng.randrange(10**9)}"
        scene = scene_of(ref)
        if split_of(scene) == split:
            return Problem(
                id=ref.removeprefix(DRAWN),
                question=scene.question,
                answer=scene.answer,
                images=(ref,),
                source="drawn",
                family=family,
                level=level,
                chance=scene.chance,
            )


def _draw_new(split: Split, family: str, level: int, rng: random.Random, seen: set[str]) -> Problem:
    for _ in range(2000):
        problem = draw_problem(split, family, level, rng)
        key = f"{family}|{scene_of(problem.images[0]).key}"
        if key not in seen:
            seen.add(key)
            return problem
    raise ValueError(f"family {family!r} level {level} has no more different {split} problems; ask for fewer")


def _check_request(split: str, families: Sequence[str], levels: Sequence[int]) -> None:
    unknown = [family for family in families if family not in _FAMILIES]
    if unknown or not families:
        raise ValueError(f"unknown families {unknown}; choose from {FAMILIES}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose from {SPLITS}")
    wrong = [level for level in levels if level not in LEVELS]
    if wrong or not levels:
        raise ValueError(f"unknown levels {wrong}; choose from {LEVELS}")
