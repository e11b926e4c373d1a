"""What the controller tells its gateways, whole and numbered: who serves what, and who may ask.

Written to one file, replaced as a whole, so that a gateway that starts while the controller is away knows it too.
"""

import msgspec

ANY = "*"
"""Among the services of a key: all of them."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that answers: attempt `attempt` of `key` (`chat/0`). `token` is what it asks of its gateway; empty:
    nothing."""

    key: str
    attempt: int
    host: str
    port: int
    token: str = ""


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """`share` is its part of the service's traffic; those of a route add up to 1, unless no revision has targets."""

    number: int
    share: float
    targets: tuple[Target, ...] = ()


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a request costs, in US dollars and joules: by the token, and by the second that a replica worked on it."""

    usd_per_token_in: float = 0.0
    usd_per_token_out: float = 0.0
    usd_per_s: float = 0.0
    watts: float = 0.0


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One service. `models` are the names under which an OpenAI request may ask for it, its own among them.

    `balance` is a name of `balancing.BALANCERS`. A replica is given at most `concurrency_max` requests at once by all
    gateways together (0: no limit); at most `queue_max` wait for one, each for `queue_s`; where the service has no
    replica, for `hold_s`, while the controller wakes one. A whole answer may take `deadline_s`. `idempotent`: a request
    may be sent again after a replica got it and died before it answered. `hedge_after_s`: a second replica is asked
    where the first has said nothing for so long, None never.
    """

    service: str
    models: tuple[str, ...]
    revisions: tuple[Revision, ...] = ()
    balance: str = "least-outstanding"
    concurrency_max: int = 0
    queue_max: int = 1000
    queue_s: float = 30.0
    hold_s: float = 120.0
    deadline_s: float = 600.0
    idempotent: bool = False
    hedge_after_s: float | None = None
    body_bytes_max: int = 16 * 2**20
    price: Price = Price()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """Who may ask, for which services, and how much; None is no limit. Only the SHA-256 of the secret is known.

    `budget_usd` is for each `budget_period_s`, counted from the epoch.
    """

    name: str
    digest: str
    team: str = "default"
    services: tuple[str, ...] = (ANY,)
    requests_per_s: float | None = None
    tokens_per_min: float | None = None
    budget_usd: float | None = None
    budget_period_s: float = 30 * 86400.0
    expires_s: float | None = None


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """`version` only grows. With `open_to_all` requests without a key pass, unlimited and metered under no name."""

    version: int
    routes: tuple[Route, ...] = ()
    keys: tuple[Key, ...] = ()
    open_to_all: bool = False
