"""Documents of `kind: alert`: one rule each, over a sliding window."""

from typing import Literal

from pydantic import Field

from suanli.domain.alerts import AlertRule, AlertTest
from suanli.spec import fields as f
from suanli.spec.scope import Scope


class AlertShape(f.Shape):
    """Fires where a metric's statistic over the window stays beyond a level."""

    kind: Literal["alert"] = Field(description="`alert`.")
    name: f.Name = Field(description="The rule's name.", examples=["node-hot"])
    metric: f.Metric = Field(
        description="What is watched, of every node or workload.", examples=["cpu_fraction"]
    )
    test: Literal["mean", "variance", "rate", "zscore"] = Field(
        default="mean",
        description="Statistic of the window: mean, variance, change per second, or distance of the newest value from "
        "an exponentially weighted mean in standard deviations.",
    )
    above: f.Level | None = Field(default=None, description="Fires above this level.", examples=["90%"])
    below: f.Level | None = Field(default=None, description="Fires below this level.", examples=["20GiB"])
    window: f.TimeSpan = Field(default=60.0, description="The sliding window.", examples=["5m"])
    for_: f.TimeSpan = Field(
        default=0.0, alias="for", description="For how long, before it fires.", examples=["2m"]
    )
    resolve_at: f.Level | None = Field(
        default=None,
        description="Level it must come back past to resolve. Default: where it fires.",
        examples=["80%"],
    )
    half_life: f.TimeSpan = Field(default=60.0, description="Of the weights of `zscore`.", examples=["1m"])
    severity: Literal["info", "warning", "critical"] = Field(default="warning", description="How bad it is.")
    summary: f.Text = Field(default="", description="What to tell whoever reads it.")


def alert_of(shape: AlertShape, scope: Scope) -> tuple[AlertRule, ...]:
    """The rule of a document of the right shape, if it has one; whatever else is wrong goes to the scope."""
    levels = [
        (level, above) for level, above in ((shape.above, True), (shape.below, False)) if level is not None
    ]
    if len(levels) != 1:
        if scope.document.has(("above",)) == scope.document.has(("below",)):
            scope.refuse((), "an alert needs one of `above` and `below`", "For example `above: 90%`.")
        return ()
    level, above = levels[0]
    if shape.resolve_at is not None and (shape.resolve_at > level if above else shape.resolve_at < level):
        side = "below" if above else "above"
        scope.refuse(("resolve_at",), f"it would resolve while it fires: expected a level {side} {level:g}")
    if shape.window == 0:
        scope.refuse(("window",), "expected a time span longer than 0", "For example `window: 5m`.")
    rule = AlertRule(
        name=shape.name,
        metric=shape.metric,
        test=AlertTest(shape.test),
        threshold=level,
        above=above,
        window_s=shape.window,
        for_s=shape.for_,
        resolve_at=shape.resolve_at,
        half_life_s=shape.half_life,
        severity=shape.severity,
        summary=shape.summary,
    )
    return (rule,)
