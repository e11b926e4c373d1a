"""The one place where adapters meet: from settings to a controller with all that lies outside of it."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from urllib.parse import quote

import msgspec

from suanli.control.clock import SystemClock
from suanli.control.controller import Controller, Ports
from suanli.control.declare import declare
from suanli.control.front import Front, own_addresses
from suanli.control.gateway import Door, GatewayProcess
from suanli.control.home import Home
from suanli.control.journal import Journal
from suanli.control.keys import keys_of
from suanli.control.machines import EMBEDDED, FAKE, Machines, machines
from suanli.control.models import NodeCache, Programs, registry_of
from suanli.control.reach import Reaching, secret_in
from suanli.control.requests import choose_policy, kept_rules
from suanli.control.snapshot import Snapshot
from suanli.control.usage import Hourly
from suanli.control.watch import Watch
from suanli.domain.alerts import AlertRule
from suanli.domain.errors import UsageError
from suanli.domain.fleet import Node
from suanli.models.registry import Registry
from suanli.policies.registry import parse
from suanli.ports.clock import Clock
from suanli.ports.notifier import Notifier
from suanli.ports.store import Store
from suanli.spec import Source
from suanli.store import SqlStore
from suanli.telemetry.alerts import evaluate_all
from suanli.telemetry.default_alerts import rules_with
from suanli.telemetry.history import History
from suanli.telemetry.metrics import LoopStats
from suanli.telemetry.notify import FanOut, LogNotifier, WebhookNotifier
from suanli.telemetry.webhook import Webhook

DEFAULT_PORT = 8100


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a controller is run.

    `engine` is `embedded` (a Ray cluster of its own on this machine), `fake` (`fake_nodes`, which are in memory only),
    or the address of a Ray cluster. `alerts` is a file of `kind: alert` documents. With `detach` a shutdown leaves
    running work alone. A `host` other than loopback needs `tls_cert` and `tls_key`; `hosts` are further names under
    which clients may reach it. `models` is where models' files lie: empty for a folder in the home, or a URL; what
    nodes keep of them says `model_cache`. Services are reached through a gateway at the same `host`;
    `gateway_port` None is its usual one, where that is free.
    """

    home: Path = Path("~/.suanli")
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    engine: str = EMBEDDED
    fake_nodes: tuple[Node, ...] = ()
    policy: str = ""
    tick_s: float = 0.25
    alerts: Path | None = None
    webhooks: tuple[Webhook, ...] = ()
    detach: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    hosts: tuple[str, ...] = ()
    models: str = ""
    model_cache: NodeCache = NodeCache()
    gateway_port: int | None = None
    gateway_workers: int = 1

    @property
    def door(self) -> Door:
        """Where services are reached."""
        return Door(
            host=self.host,
            port=self.gateway_port,
            workers=self.gateway_workers,
            tls_cert=self.tls_cert,
            tls_key=self.tls_key,
        )


class Running:
    """A controller and what stands around it. `stop` asks the loop to end, `at_once` not to wait for anything.

    `gateway` is None where nothing real is served.
    """

    def __init__(
        self,
        settings: Settings,
        home: Home,
        controller: Controller,
        holder: str,
        models: Registry,
        gateway: GatewayProcess | None = None,
    ) -> None:
        self.settings = settings
        self.home = home
        self.controller = controller
        self.holder = holder
        self.journal = Journal(controller.ports.store)
        self.started_s = controller.ports.clock.now_s()
        self.stop = Event()
        self.at_once = Event()
        self.cycles = LoopStats()
        self.models = models
        self.gateway = gateway
        self.usage = Hourly(controller.ports.store, home.gateway)

    def stats(self, snapshot: Snapshot) -> LoopStats:
        """What the loop knows of itself, for `/metrics`."""
        alive = {view.name for view in snapshot.seen.nodes if view.alive}
        watch = self.controller.watch
        return msgspec.structs.replace(
            self.cycles,
            now_s=snapshot.now_s,
            epoch=self.controller.epoch,
            ready_nodes=frozenset(alive - snapshot.unusable.keys()),
            alerts=tuple(watch.alerts) if watch else (),
        )


@contextmanager
def build(
    settings: Settings, home: Home, clock: Clock | None = None, here: Machines | None = None
) -> Iterator[Running]:
    """Everything wired in a claimed home, nothing decided yet. Raises UsageError, Unavailable.

    `clock` is the real one, and `here` what the settings say, unless others are given. On leaving, all is let go of; an
    embedded cluster is stopped unless work shall go on: with `detach`, or where something failed that a restart may
    mend.
    """
    with ExitStack() as closing:
        policy = parse(settings.policy).name if settings.policy else ""
        clock = clock or SystemClock()
        store = SqlStore(f"sqlite:///{quote(str(home.database))}")
        closing.callback(store.close)
        telemetry = History()
        watch = _watch(settings, store, telemetry, closing)
        here = here or machines(settings.engine, home, clock, settings.fake_nodes)
        closing.callback(here.engine.close)
        ports = Ports(store, here.engine, clock, telemetry, here.nodes)
        holder = f"{socket.gethostname()}:{home.path}"
        models = registry_of(home.path, settings.models, store.models, clock.now_s)
        is_real = settings.engine != FAKE
        controller = Controller(
            ports,
            holder=holder,
            home=home.path,
            watch=watch,
            front=_front(home, store) if is_real else None,
            programs=Programs(store.models, models.blobs.url, home.path, settings.model_cache),
        )
        gateway = GatewayProcess(home.gateway, settings.door, home.logs / "gateway.log") if is_real else None
        if policy:
            choose_policy(controller, policy, actor="up")
        yield Running(settings, home, controller, holder, models, gateway)
        if not settings.detach:
            here.end()


def _front(home: Home, store: Store) -> Front:
    return Front(home.gateway, lambda: keys_of(store), Reaching(own_addresses(), secret_in(home.path)))


def _watch(settings: Settings, store: Store, telemetry: History, closing: ExitStack) -> Watch:
    """Rules that were applied go before those of the file, and these before the shipped ones."""
    in_file = {rule.name: rule for rule in _rules_of(settings.alerts)} if settings.alerts else {}
    declared = {**in_file, **{rule.name: rule for rule in kept_rules(store)}}
    notifiers: list[Notifier] = [LogNotifier()]
    for webhook in settings.webhooks:
        notifier = WebhookNotifier(webhook)
        closing.callback(notifier.close)
        notifiers.append(notifier)
    return Watch(rules_with(tuple(declared.values())), telemetry, FanOut(notifiers), evaluate_all)


def _rules_of(file: Path) -> Sequence[AlertRule]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The alert rules {file} cannot be read: {error}.", code="SL-ALERTS-FILE") from error
    return declare([Source(str(file), text)], now_s=0.0).asked.alerts
