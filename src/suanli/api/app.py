"""The whole API as one ASGI app."""

import asyncio
import time
from collections.abc import Callable

from fastapi import FastAPI

from suanli import __version__
from suanli.api import answers, problems
from suanli.api.door import own_names
from suanli.api.guard import Guard
from suanli.api.routes import (
    declarations,
    keys,
    model_files,
    models,
    nodes,
    server,
    services,
    watching,
    workloads,
)
from suanli.control.wiring import Running

SUBJECTS = (server, declarations, workloads, services, nodes, watching, models, model_files, keys)


def create_app(running: Running, *, monotonic: Callable[[], float] = time.monotonic) -> FastAPI:
    """Routes over a running controller, closed to all without a token. `monotonic` is what rate limits count by."""
    app = FastAPI(
        title="Suanli",
        version=__version__,
        description="Declare a fleet and workloads; Suanli decides, runs, watches, and says why.",
        openapi_url=None,  # FastAPI's own documents, and pages that load scripts from elsewhere; ours is a route
        responses=answers.PROBLEM,
        redirect_slashes=False,
    )
    app.state.running = running
    app.state.pieces = asyncio.Semaphore(model_files.PIECES_AT_ONCE)
    for subject in SUBJECTS:
        app.include_router(subject.router)
    hosts = own_names(running.settings)
    app.add_middleware(Guard, store=running.controller.ports.store, hosts=hosts, monotonic=monotonic)
    problems.install(app)
    return app
