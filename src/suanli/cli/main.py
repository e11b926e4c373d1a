"""`suanli`: the commands in the order in which one needs them. Each imports what it needs when it runs."""

import typer

from suanli.cli import (
    about,
    acting,
    doctor,
    down,
    events,
    explaining,
    logs,
    nodes,
    planning,
    report,
    up,
    workloads,
)
from suanli.cli.tour import command as tour

app = typer.Typer(
    name="suanli",
    help="Declare a fleet and workloads; Suanli decides, runs them, watches, and says why.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich would double the time until help is there
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

COMMANDS = {
    "tour": tour.tour,
    "up": up.up,
    "down": down.down,
    "doctor": doctor.doctor,
    "plan": planning.plan,
    "apply": planning.apply,
    "ps": workloads.ps,
    "nodes": nodes.nodes,
    "queue": workloads.queue,
    "services": workloads.services,
    "explain": explaining.explain,
    "logs": logs.logs,
    "stop": acting.stop,
    "retry": acting.retry,
    "hold": acting.hold,
    "release": acting.release,
    "drain": acting.drain,
    "cordon": acting.cordon,
    "uncordon": acting.uncordon,
    "policy": acting.policy,
    "events": events.events,
    "alerts": events.alerts,
    "report": report.report,
    "policies": about.policies,
    "schema": about.schema,
    "version": about.version,
}

for name, function in COMMANDS.items():
    app.command(name)(function)
