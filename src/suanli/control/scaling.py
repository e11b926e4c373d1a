"""What the controller remembers of the replicas that its services wanted lately: the memory of scaling."""

from collections.abc import Mapping, Sequence

from suanli.domain.record import Record
from suanli.domain.service import ServiceRecord
from suanli.domain.traffic import Demand
from suanli.kernel.scaling import scales, wish_of
from suanli.kernel.services import is_ready
from suanli.policies.autoscale.delays import Wish, Wishes


class Scalers:
    """By service; may be lost at any moment, after which no service shrinks before a whole delay has been seen."""

    def __init__(self) -> None:
        self._wishes: dict[str, Wishes] = {}

    def wish(
        self,
        service: ServiceRecord,
        replicas: Sequence[Record],
        demand: Demand,
        use: Mapping[str, float],
        now_s: float,
    ) -> Wish | None:
        """How many replicas the service wants; None where that is not ours to say, or not known."""
        if not scales(service):
            self._wishes.pop(service.name, None)
            return None
        ready = [record for record in replicas if is_ready(record) and not record.stop_requested]
        used = [use[record.key] for record in ready if record.key in use]
        mean = sum(used) / len(used) if used else None
        wishes = self._wishes.setdefault(service.name, Wishes())
        return wish_of(service, len(ready), demand, mean, wishes, now_s)
