"""Where the work of a run is done: the one choice between this process and a cluster."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from srpo.core.records import Problem
from srpo.models.config import Engine, RayConfig
from srpo.models.pool import ModelPool
from srpo.models.relay.work import R, Work


def open_work(
    work: Work[R], pool: ModelPool, engine: Engine, ray: RayConfig
) -> AbstractContextManager[Callable[[Sequence[Problem]], R]]:
    """The work where `engine` says that it is done. The models are those of `pool` in any case.

    Raises:
        ValueError: a model that the engine cannot share out, or no cluster.
    """
    match engine:
        case "local":
            return work.open(pool)
        case "ray":
            from srpo.models.relay.ray import open_on_ray

            return open_on_ray(work, pool, ray)
