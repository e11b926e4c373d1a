"""Traces of others, our own CSV, fleets to run them on, and generators."""

from suanli.traces.arrivals import arrivals
from suanli.traces.context import Context, context_of
from suanli.traces.fleets import fleet_of
from suanli.traces.read import read
from suanli.traces.table import Row, Table, trace_of

__all__ = ["Context", "Row", "Table", "arrivals", "context_of", "fleet_of", "read", "trace_of"]
