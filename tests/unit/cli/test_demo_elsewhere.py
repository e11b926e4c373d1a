"""What the demo simulates in another process."""

from suanli.cli.demo.elsewhere import Elsewhere
from suanli.control.otherwise import Fork
from suanli.domain.fleet import Fleet
from suanli.sim.simulation import Conditions
from suanli.sim.trace import Trace


def test_where_the_day_was_over_before_the_switch_nothing_is_simulated() -> None:
    fork = Fork(
        entries=(),
        later=Trace(name="a day", arrivals=()),
        fleet=Fleet(name="demo", nodes=()),
        work={},
        policies=("fifo", "srtf"),
        conditions=Conditions(),
        at_s=100.0,
        to_s=100.0,
    )
    with Elsewhere() as elsewhere:
        elsewhere.begin(fork)
        assert elsewhere.outcomes(30.0) == ()
