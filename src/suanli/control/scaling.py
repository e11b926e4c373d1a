"""What the controller remembers of what its services were asked and wanted lately: the memory of scaling."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from suanli.control.rates import Rates
from suanli.domain.record import Record
from suanli.domain.service import ServiceRecord
from suanli.domain.traffic import Demand
from suanli.kernel.scaling import scales, startup_s, wish_of
from suanli.kernel.services import is_ready
from suanli.policies.autoscale.delays import Wish, Wishes
from suanli.policies.autoscale.wanted import Seen


class Said(msgspec.Struct, frozen=True):
    """What is wanted of a service now, None where that is not ours to say or not known; and the forecast in words."""

    wish: Wish | None = None
    forecast: str = ""


class Scalers:
    """By service; may be lost at any moment, after which no service shrinks before a whole delay has been seen. What
    forecasts go by lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._rates = Rates(folder)
        self._wishes: dict[str, Wishes] = {}
        self._said: dict[str, Said] = {}

    def wish(
        self,
        service: ServiceRecord,
        replicas: Sequence[Record],
        demand: Demand,
        arrived: int,
        use: Mapping[str, float],
        now_s: float,
    ) -> Wish | None:
        """How many replicas the service wants; None where that is not ours to say, or not known. `arrived` requests
        came ever."""
        if not scales(service):
            self._wishes.pop(service.name, None)
            self._said.pop(service.name, None)
            self._rates.forget(service.name)
            return None
        took_s = startup_s(replicas)
        foretold = self._rates.foretold(service, demand, arrived, took_s, now_s)
        if foretold is not None:
            demand = msgspec.structs.replace(demand, expected_per_s=foretold.per_s)
        ready = [record for record in replicas if is_ready(record) and not record.stop_requested]
        used = [use[record.key] for record in ready if record.key in use]
        mean = sum(used) / len(used) if used else None
        wishes = self._wishes.setdefault(service.name, Wishes())
        seen = Seen(demand=demand, ready=len(ready), used=mean, startup_s=took_s)
        wish = wish_of(service, seen, wishes, now_s)
        self._said[service.name] = Said(wish, foretold.why if foretold else "")
        return wish

    def said(self, name: str) -> Said:
        """What `wish` last found."""
        return self._said.get(name, Said())
