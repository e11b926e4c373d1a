"""`up`: a controller in this terminal, or in the background."""

import os
import signal
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanli.cli import background
from suanli.cli.client import connect, path_of
from suanli.cli.files import sources
from suanli.cli.planning import Policy
from suanli.cli.session import DEFAULT_PORT, Session, command, size
from suanli.domain.errors import SuanliError

if TYPE_CHECKING:
    from suanli.control.requests import Asked
    from suanli.control.wiring import Settings

KEEP_WORK, END_WORK = signal.SIGUSR1, signal.SIGUSR2
"""What `down` sends: end and leave running work alone, or end it first, however the controller was started."""

START_S = 90.0

Texts = list[dict[str, str]]


@command
def up(
    session: Session,
    context: typer.Context,
    *,
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="In the background; a SIGTERM then leaves running work alone."),
    ] = False,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; beyond loopback it needs TLS.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen at; 0 takes any.")
    ] = DEFAULT_PORT,
    address: Annotated[
        str,
        typer.Option(
            "--address", metavar="HOST:PORT", help="A Ray cluster to use, instead of an embedded one."
        ),
    ] = "",
    fleet: Annotated[
        str,
        typer.Option("--fleet", metavar="FILE", help="Declare this fleet. Default: what the engine finds."),
    ] = "",
    policy: Policy = "",
    alerts: Annotated[
        Path | None, typer.Option("--alerts", metavar="FILE", help="Alert rules, beside the shipped ones.")
    ] = None,
    webhook: Annotated[
        list[str], typer.Option("--webhook", metavar="URL", help="Where alerts are sent as JSON.")
    ] = [],  # noqa: B006 - typer's way to say "none", never changed
    webhook_private: Annotated[
        bool, typer.Option("--webhook-private", help="Webhooks may lie on this machine or a private network.")
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate, PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key, PEM.")] = None,
    allow_host: Annotated[
        list[str], typer.Option("--allow-host", metavar="NAME", help="A further name that clients may use.")
    ] = [],  # noqa: B006
    models: Annotated[
        str,
        typer.Option(
            "--models", metavar="URL", help="Where models' files lie: a folder, `s3://…` ... Default: home."
        ),
    ] = "",
    model_cache: Annotated[
        Path | None,
        typer.Option(
            "--model-cache", metavar="DIR", help="Where nodes keep models they fetched. Default: the home."
        ),
    ] = None,
    model_cache_size: Annotated[
        Any,
        typer.Option(
            "--model-cache-size", metavar="SIZE", parser=size, help="The most that each keeps of them."
        ),
    ] = "1TiB",
    gateway_port: Annotated[
        int | None,
        typer.Option(
            "--gateway-port",
            min=0,
            max=65535,
            help="Where services are reached. Default: 8110, if free, else any.",
        ),
    ] = None,
    gateway_workers: Annotated[
        int, typer.Option("--gateway-workers", min=1, max=256, help="Processes that pass requests on.")
    ] = 1,
    engine: Annotated[str, typer.Option("--engine", hidden=True)] = "embedded",
    in_background: Annotated[bool, typer.Option("--in-background", hidden=True)] = False,
) -> None:
    """Start the controller.

    It decides and serves the API until Ctrl-C, SIGTERM or `suanli down`, and ends running work with its grace first;
    started with `--detach`, a SIGTERM leaves that alone. A second Ctrl-C ends it at once.
    """
    texts = sources([fleet]) if fleet else []
    if detach and not in_background:
        _start(session, background.arguments(context), texts)
        return

    from suanli.control.models import NodeCache
    from suanli.control.wiring import Settings
    from suanli.telemetry.webhook import Webhook

    asked = _read(texts)
    settings = Settings(
        home=session.home,
        host=host,
        port=port,
        engine=address or engine,
        fake_nodes=asked.fleet.nodes if asked.fleet and engine == "fake" else (),
        policy=policy,
        alerts=alerts.absolute() if alerts else None,
        webhooks=tuple(Webhook(url, webhook_private) for url in webhook),
        detach=detach,
        tls_cert=tls_cert,
        tls_key=tls_key,
        hosts=tuple(allow_host),
        models=models,
        model_cache=NodeCache(
            folder=model_cache.expanduser().absolute() if model_cache else None, bytes_max=model_cache_size
        ),
        gateway_port=gateway_port,
        gateway_workers=gateway_workers,
    )
    _obey_down(settings)
    if in_background:
        _serve(settings, logs_to=os.devnull)
    else:
        threading.Thread(target=_declare, args=(session, texts), daemon=True).start()
        _serve(settings)


def _read(texts: Texts) -> "Asked":
    """What the fleet's file declares. Raises SpecErrors, before anything is started."""
    from suanli.control.declare import declare
    from suanli.spec import Source

    return declare([Source(**text) for text in texts], now_s=time.time()).asked


def _start(session: Session, arguments: list[str], texts: Texts) -> None:
    server = background.start(session, arguments, session.timeout_s or START_S, texts)
    session.show(server, lambda: str(server["url"]))
    session.note("Go on with `suanli apply -f FILE`, `suanli ps`; end it with `suanli down`.")


def _serve(settings: "Settings", logs_to: str = "") -> None:
    """Until it is told to end. `logs_to` a file instead of stderr, beside the log that it keeps in its home."""
    from suanli.api.server import serve

    with Path(logs_to).open("w") if logs_to else nullcontext() as file:
        serve(settings, logs_to=file)


def _declare(session: Session, texts: Texts) -> None:
    """Declare the fleet as soon as this process answers."""
    if texts and background.wait_until_ready(session.home, os.getpid(), START_S):
        try:
            connect(session.home).post(path_of("apply"), {"sources": texts})
        except SuanliError as error:
            session.fail(error)


def _obey_down(settings: "Settings") -> None:
    """Let `down` say at the end whether work shall go on, whatever was said at the start."""
    import msgspec

    def end(keep_work: bool) -> None:
        msgspec.structs.force_setattr(settings, "detach", keep_work)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(KEEP_WORK, lambda *_: end(True))
    signal.signal(END_WORK, lambda *_: end(False))
