"""`suanli`: the commands, in the order in which one needs them. Each is loaded when it is asked for."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS = {
    "Begin and end": {
        "tour": ("tour.command", "See all of it on this machine, in minutes."),
        "demo": ("demo.command", "Play a day on 64 simulated accelerators, in less than a minute."),
        "up": ("up", "Start the controller."),
        "down": ("down", "End the controller: running work first, with its grace."),
        "doctor": ("doctor", "Check whether this machine is fit for Suanli."),
    },
    "Declare": {
        "plan": ("planning", "Show what would happen; changes nothing."),
        "apply": ("planning", "Hand in workloads or a fleet."),
    },
    "Look": {
        "ps": ("workloads", "List workloads, where they run, and why others wait."),
        "explain": ("explaining", "Say why something waits, and what would make it run."),
        "logs": ("logs", "Print what a worker has written to stdout and stderr."),
        "queue": ("workloads", "List what waits, in the order of its turn."),
        "nodes": ("nodes", "List nodes: state, what is free, load, who holds what."),
        "services": ("services", "List services: replicas, revision, requests, latency, address."),
        "events": ("events", "Print the log: what was asked, decided and seen."),
        "alerts": ("events", "List alerts: pending, firing, resolved."),
        "report": ("report", "Write an HTML page of what happened."),
    },
    "Act": {
        "stop": ("acting", "End workloads for good: SIGTERM, their grace, SIGKILL."),
        "retry": ("acting", "Let finished workloads run again."),
        "hold": ("acting", "Keep waiting workloads from starting."),
        "release": ("acting", "Lift a hold."),
        "drain": ("acting", "Empty a node: nothing new, and what runs moves away."),
        "cordon": ("acting", "Place nothing new on a node."),
        "uncordon": ("acting", "Use a node again."),
        "scale": ("services", "Want another number of replicas of a service."),
        "rollback": ("services", "Let an earlier revision of a service serve again."),
        "pause": (
            "services",
            "End a service's replicas until it is resumed; requests are refused meanwhile.",
        ),
        "resume": ("services", "Let a service serve again after a pause."),
        "policy": ("acting", "Show the policy that decides, or choose another."),
    },
    "Models": {
        "models": ("models", "Keep models: push, name, promote, roll back, pull."),
        "keys": ("keys", "API keys of services: make, limit, revoke, and see what they used."),
    },
    "Try out": {
        "simulate": ("simulating", "Play a recorded trace under a policy."),
        "compare": ("simulating", "Play a recorded trace under several policies, side by side."),
        "foresee": ("foreseeing", "Say how many replicas keep a service's promise at a rate."),
        "solve": ("solving", "Solve a one-shot problem: who goes where, or how much to have."),
        "trace": ("traces", "Read published traces into our CSV, or make one."),
    },
    "About": {
        "policies": ("about", "List the parts that a policy is made of."),
        "schema": ("about", "Print the JSON Schema of all that can be declared."),
        "version": ("about", "Print the versions of Suanli, Python and Ray."),
    },
}
"""By heading and name: the module below `suanli.cli` whose function of that name it is, and the first line of its help.

The line is there twice, so that the list of commands need not load them; a test holds the two together.
"""

SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,  # rich would double the time until help is there
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["--help", "-h"]},
}


class Shelf(Mapping[str, Any]):
    """The commands by name, each loaded when it is taken: all of them would take as long as the rest of the start."""

    def __init__(self) -> None:
        self._modules = {name: module for part in COMMANDS.values() for name, (module, _) in part.items()}

    def __getitem__(self, name: str) -> Any:
        function = getattr(importlib.import_module(f"suanli.cli.{self._modules[name]}"), name)
        if isinstance(function, typer.Typer):
            return get_command(function)
        alone = typer.Typer(**SETTINGS)
        alone.command(name)(function)
        return get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class Commands(TyperGroup):
    """A group of what is on the shelf."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = Shelf()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for heading, commands in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])


app = typer.Typer(cls=Commands, no_args_is_help=True, **SETTINGS)


@app.callback()
def suanli() -> None:
    """Declare a fleet and workloads; Suanli decides, runs them, watches, and says why."""
