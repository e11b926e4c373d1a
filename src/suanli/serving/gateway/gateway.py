"""What a worker does with a request: which path means what, and which service it is for.

/v1/chat/completions, /v1/completions, /v1/embeddings   the service that serves the body's `model`
/v1/models                                              the models that this caller may use
/predict                                                the service of the header x-suanli-service, or of `model`
/services/NAME/...                                      that service, any path and method of its own
/healthz, /readyz, /metrics                             this gateway itself
"""

import asyncio
import re
import time
from collections.abc import Callable
from urllib.parse import unquote, unquote_to_bytes

from suanli.serving.gateway import openai
from suanli.serving.gateway.admission_port import Admission, Refusal
from suanli.serving.gateway.ask import Ask
from suanli.serving.gateway.heads import whole_answer
from suanli.serving.gateway.openai import Asked, Malformed
from suanli.serving.gateway.problems import Problem, Refused, nearest, problem_of, rendered
from suanli.serving.gateway.relay import Relay
from suanli.serving.gateway.request import Request
from suanli.serving.gateway.routes import Route, Routes
from suanli.serving.gateway.server import LOOPBACK, ClientConnection
from suanli.serving.gateway.service import Part, Service, affinity_hash

SMALL_BODY_BYTES = 64 * 2**10
KNOWN_ONLY_BYTES = 256 * 2**10
"""Longer bodies are read only from callers who may use something here."""

_OPERATIONS = {operation.encode(): operation for operation in openai.OPERATIONS}
_JSON, _TEXT = b"application/json", b"text/plain; version=0.0.4; charset=utf-8"

Own = Callable[[Request, ClientConnection], None]


class Gateway:
    """One worker's data path. `part` is this worker's of what replicas may be given. `metrics` renders `/metrics`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, admission: Admission, part: Part, metrics: Callable[[], bytes]
    ) -> None:
        self.loop = loop
        self.admission = admission
        self.part = part
        self.routes = Routes(version=-1)
        self.clients: set[ClientConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        self.services: dict[str, Service] = {}
        self.by_model: dict[str, Service] = {}
        self.removed: list[Service] = []
        self._metrics = metrics
        self._body_bytes_max = SMALL_BODY_BYTES
        self._own: dict[bytes, Own] = {
            b"/healthz": self._healthz,
            b"/readyz": self._readyz,
            b"/metrics": self._tell_metrics,
            b"/v1/models": self._models,
        }

    # --- routes

    def follow(self, routes: Routes) -> None:
        """Take new routes. Requests in flight end where they are; replicas that are gone get no new ones."""
        self.routes = routes
        told = {route.service: route for route in routes.routes}
        for name in self.services.keys() - told.keys():
            service = self.services.pop(name)
            self.removed.append(service)
            for waiting in service.close():
                waiting.removed()
        for name, route in told.items():
            service = self.services.get(name)
            if service is None:
                self.services[name] = Service(route, self.part, self.loop.time)
            elif service.route != route:
                service.follow(route)
        self.by_model = {  # of services that share a name the oldest has it, and each has its own
            model: self.services[route.service] for route in reversed(routes.routes) for model in route.models
        } | self.services
        self._body_bytes_max = max(
            (route.body_bytes_max for route in routes.routes), default=SMALL_BODY_BYTES
        )

    def sweep(self) -> None:
        """Called about once a second: connections that take too long or idle, and what has ended of old routes."""
        now_s = self.loop.time()
        for client in list(self.clients):
            client.sweep(now_s)
        for service in (*self.services.values(), *self.removed):
            service.sweep(now_s)
        self.removed = [service for service in self.removed if service.retired]

    def pump(self) -> None:
        """Called some times a second: those who wait for a replica that was out of reach try again."""
        for service in self.services.values():
            if service.stats.waiting:
                service.pump()

    # --- requests

    def body_bytes_max(self, request: Request) -> int:
        """Raises `Refused` where a caller that may use nothing here wants to send much."""
        path = request.target.partition(b"?")[0]
        if request.length is None or request.length > KNOWN_ONLY_BYTES:
            seen = self.admission.visible(self.routes, request.kept.get(b"authorization"), time.time())
            if isinstance(seen, Refusal):
                raise Refused(problem_of(seen))
        if path in _OPERATIONS or path == b"/predict":
            return self._body_bytes_max
        service = self._named(path)[0]
        return service.route.body_bytes_max if service else SMALL_BODY_BYTES

    def handle(self, request: Request, client: ClientConnection) -> Relay | None:
        try:
            service, ask = self._understood(request, client)
        except Refused as refused:
            self._refuse(request, client, refused.problem)
            return None
        if service is None or ask is None:
            return None
        ask.request.lines.append(b"x-forwarded-for: %b\r\n" % client.peer)
        relay = Relay(self, client, service, ask)
        relay.start()
        return relay

    def _understood(self, request: Request, client: ClientConnection) -> tuple[Service | None, Ask | None]:
        """Which service, and what is asked of it; nothing where the gateway itself has answered. Raises `Refused`."""
        path = request.target.partition(b"?")[0]
        operation = _OPERATIONS.get(path)
        if operation is not None:
            asked = self._read_openai(request)
            service, name = self._of_model(request, asked.model)
            ask = self._ask_openai(request, service, request.target, operation, asked)
            ask.name, ask.by_model = name, True
            return service, ask
        if path == b"/predict":
            return self._of_prediction(request)
        if path.startswith(b"/services/"):
            return self._passed_on(request, path)
        own = self._own.get(path) or (self._model if path.startswith(b"/v1/models/") else None)
        if own is None:
            raise Refused(Problem(404, "not_found", "There is nothing under this path."))
        if request.method not in (b"GET", b"HEAD"):
            raise Refused(_only("GET"))
        own(request, client)
        return None, None

    def _read_openai(self, request: Request) -> Asked:
        if request.method != b"POST":
            raise Refused(_only("POST"))
        try:
            return openai.read(request.body)
        except Malformed as error:
            raise Refused(Problem(400, "invalid_body", error.sentence, error.param)) from None

    def _of_model(self, request: Request, model: str | None) -> tuple[Service, str]:
        if not model:
            raise Refused(Problem(400, "model_missing", "The body needs a model.", "model"))
        service = self.by_model.get(model)
        if service is None:
            raise Refused(self._no_model(request, model))
        return service, model

    def _of_prediction(self, request: Request) -> tuple[Service, Ask]:
        if request.method != b"POST":
            raise Refused(_only("POST"))
        named = request.kept.get(b"x-suanli-service")
        if named is not None:
            name = named.decode("latin-1")
            service = self.services.get(name)
            if service is None:
                raise Refused(self._no_service(request, name))
            ask = self._ask(request, service, request.target)
            ask.name = name
            return service, ask
        try:
            model = openai.read_model(request.body)
        except Malformed as error:
            sentence = f"Name the service by x-suanli-service, or the model in JSON. {error.sentence}"
            raise Refused(Problem(400, "invalid_body", sentence, error.param)) from None
        service, name = self._of_model(request, model)
        ask = self._ask(request, service, request.target)
        ask.name, ask.by_model = name, True
        return service, ask

    def _passed_on(self, request: Request, path: bytes) -> tuple[Service, Ask]:
        service, name, rest = self._named(path)
        if service is None:
            raise Refused(self._no_service(request, name.decode("latin-1")))
        target = (rest or b"/") + request.target[len(path) :]
        operation = _OPERATIONS.get(rest)
        if operation is None and _as_replicas_read(rest) in _OPERATIONS:
            raise Refused(_disguised(_as_replicas_read(rest)))
        if operation is not None and request.method == b"POST":
            ask = self._ask_openai(request, service, target, operation, self._read_openai(request))
        else:
            ask = self._ask(request, service, target)
        ask.name = name.decode("latin-1")
        return service, ask

    def _named(self, path: bytes) -> tuple[Service | None, bytes, bytes]:
        """The service of `/services/NAME/rest`, NAME and /rest."""
        if not path.startswith(b"/services/"):
            return None, b"", b""
        name, slash, rest = path[len(b"/services/") :].partition(b"/")
        return self.services.get(name.decode("latin-1")), name, slash + rest

    def _ask_openai(
        self, request: Request, service: Service, target: bytes, operation: str, asked: Asked
    ) -> Ask:
        ask = self._ask(request, service, target)
        try:
            ask.tokens_max = openai.tokens_max(asked, operation, len(request.body))
        except Malformed as error:
            raise Refused(Problem(400, "invalid_body", error.sentence, error.param)) from None
        ask.metered = True
        ask.generates = operation != openai.EMBEDDINGS
        request.lines = [line for line in request.lines if not line.startswith(b"accept-encoding:")]
        if service.route.balance == "affinity" and ask.affinity is None:
            ask.affinity = affinity_hash(asked.user.encode() if asked.user else openai.prefix(asked))
        return ask

    def _ask(self, request: Request, service: Service, target: bytes) -> Ask:
        route = service.route
        if len(request.body) > route.body_bytes_max:
            sentence = f"The body is larger than {route.body_bytes_max} bytes, the most for this service."
            raise Refused(Problem(413, "body_too_large", sentence))
        ask = Ask(request, target, _deadline_s(request, route))
        ask.tokens_in = ask.tokens_max = openai.estimated_tokens(len(request.body))
        if request.session is not None:
            ask.session = ask.affinity = affinity_hash(request.session)
        return ask

    # --- refusals

    def _visible(self, request: Request) -> list[Route]:
        """The services of this caller. Raises `Refused` where there is no such caller."""
        seen = self.admission.visible(self.routes, request.kept.get(b"authorization"), time.time())
        if isinstance(seen, Refusal):
            raise Refused(problem_of(seen))
        return list(seen)

    def not_found(self, ask: Ask) -> Problem:
        """What a key that may not use it is told of a service: the same as if there were none."""
        try:
            return (self._no_model if ask.by_model else self._no_service)(ask.request, ask.name)
        except Refused as refused:
            return refused.problem

    def _no_model(self, request: Request, model: str) -> Problem:
        hint = nearest(model, (name for route in self._visible(request) for name in route.models))
        sentence = f"There is no model {model[:200]!r}, or not for this key.{hint}"
        return Problem(404, "model_not_found", sentence, "model")

    def _no_service(self, request: Request, name: str) -> Problem:
        hint = nearest(name, (route.service for route in self._visible(request)))
        sentence = f"There is no service {name[:200]!r}, or not for this key.{hint}"
        return Problem(404, "service_not_found", sentence)

    def _refuse(self, request: Request, client: ClientConnection, problem: Problem) -> None:
        client.answer(
            rendered(problem, request.target, request.id, close=request.close, head_only=request.head_only)
        )

    # --- the gateway itself

    def _answer(self, request: Request, client: ClientConnection, kind: bytes, body: bytes) -> None:
        client.answer(
            whole_answer(200, kind, body, request.id, close=request.close, head_only=request.head_only)
        )

    def _healthz(self, request: Request, client: ClientConnection) -> None:
        self._answer(request, client, _JSON, b'{"status":"ok"}')

    def _readyz(self, request: Request, client: ClientConnection) -> None:
        if self.routes.version < 0 or self.draining:
            raise Refused(
                Problem(503, "not_ready", "This gateway has no routes yet, or ends.", retry_after_s=1.0)
            )
        self._answer(request, client, _JSON, b'{"status":"ready","routes":%d}' % self.routes.version)

    def _tell_metrics(self, request: Request, client: ClientConnection) -> None:
        if client.peer.decode() not in LOOPBACK or b"x-forwarded-for" in request.kept:
            raise Refused(Problem(404, "not_found", "There is nothing under this path."))
        self._answer(request, client, _TEXT, self._metrics())

    def _models(self, request: Request, client: ClientConnection) -> None:
        self._answer(request, client, _JSON, openai.models_listed(self._visible(request)))

    def _model(self, request: Request, client: ClientConnection) -> None:
        name = unquote(request.target.partition(b"?")[0][len(b"/v1/models/") :].decode("latin-1"))
        if not any(name in route.models for route in self._visible(request)):
            raise Refused(self._no_model(request, name))
        self._answer(request, client, _JSON, openai.model_told(name))


def _only(method: str) -> Problem:
    return Problem(405, "method_not_allowed", f"Only {method} is understood here.", allow=method)


def _as_replicas_read(path: bytes) -> bytes:
    """Decoded, without a fragment and doubled slashes: under such paths a replica may serve the same operation."""
    return re.sub(rb"/+", b"/", unquote_to_bytes(path.partition(b"#")[0]))


def _disguised(path: bytes) -> Problem:
    """What would be neither limited nor metered as the operation that it is."""
    sentence = f"Write {path.decode()} as it is, without percent-encoding, doubled slashes or a fragment."
    return Problem(400, "malformed_path", sentence)


def _deadline_s(request: Request, route: Route) -> float:
    told = request.kept.get(b"x-request-timeout-ms")
    if told is None:
        return route.deadline_s
    if not told.isdigit() or len(told) > 12 or not int(told):
        raise Refused(
            Problem(400, "invalid_timeout", "x-request-timeout-ms must be a number of milliseconds.")
        )
    return min(route.deadline_s, int(told) / 1000)
