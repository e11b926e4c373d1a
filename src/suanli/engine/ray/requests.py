"""What the controller's side asks of the hub, as JSON."""

import msgspec

from suanli.domain.fleet import Node
from suanli.domain.observation import NodeSample
from suanli.domain.workload import EndCause
from suanli.engine.messages import Timing


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub goes by, kept with it. `probe` is `module:function`, measured on every node; empty: none."""

    timing: Timing = Timing()
    probe: str = ""


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How a driver reaches the cluster, and what it tells the hub there."""

    address: str
    settings: Settings = Settings()


class StopRequest(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    number: int
    cause: EndCause
    grace_s: float


class AttemptName(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    number: int


class LogRequest(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    number: int
    rank: int
    offset: int


class LogPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker's log lies."""

    node_id: str
    host: str
    path: str


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent saw on its node."""

    node_id: str
    seen: Node
    sample: NodeSample


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One line to the driver."""

    id: int
    verb: str
    body: msgspec.Raw = msgspec.Raw(b"null")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One line from it: `body`, or in `error` why there is none."""

    id: int
    body: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
