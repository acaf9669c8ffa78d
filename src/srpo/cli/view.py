"""`srpo view`: every trace of some runs in a browser, live."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from srpo.config.command import Command
from srpo.config.fields import Positional
from srpo.core.records import Record


class ViewOptions(Record):
    """Serve every trace of run or demo directories as pages with filters; follows runs that are still written.

    Works without a network. Ctrl-C ends it.
    """

    runs: Annotated[tuple[Path, ...], Positional("RUN")]
    """Run directories or demo directories."""
    host: str = "127.0.0.1"
    """Address to listen at; any but loopback asks readers for the token that is printed."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8321
    """Port to listen at (0: any that is free)."""


def serve_view(options: ViewOptions) -> int:
    """Read the runs, then serve until somebody interrupts."""
    from srpo.report.open import labelled_runs
    from srpo.view.index import Index
    from srpo.view.server import open_server
    from srpo.view.site import Site

    index = Index(labelled_runs(options.runs))
    try:
        with open_server(Site(index), options.host, options.port) as server:
            index.read_all()
            print(f"{server.address}\n{len(index.columns):,} traces; Ctrl-C ends this", flush=True)
            server.serve_forever()
    except KeyboardInterrupt:
        print("srpo: view ended", file=sys.stderr)
    finally:
        index.close()
    return 0


COMMAND = Command(ViewOptions, serve_view)
