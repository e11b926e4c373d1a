"""Why a workload does not run: one dominant reason in strict precedence, with its evidence in numbers."""

import enum

import msgspec


class Tier(enum.IntEnum):
    """Reasons of a lower tier take precedence over those of a higher one."""

    NOT_ELIGIBLE = 0
    NEVER_FITS = 1
    WAITING = 2
    STARTING = 3


class ReasonCode(enum.Enum):
    """Value: (token, tier, will waiting help, will preemption help). Declared in order of precedence."""

    HELD = ("Held", Tier.NOT_ELIGIBLE, False, False)
    INVALID = ("Invalid", Tier.NOT_ELIGIBLE, False, False)
    UNAUTHORISED = ("Unauthorised", Tier.NOT_ELIGIBLE, False, False)
    DEPENDS_ON = ("DependsOn", Tier.NOT_ELIGIBLE, True, False)
    BEFORE_START_TIME = ("BeforeStartTime", Tier.NOT_ELIGIBLE, True, False)
    MODEL_NOT_READY = ("ModelNotReady", Tier.NOT_ELIGIBLE, True, False)
    NO_SUCH_ACCELERATOR = ("NoSuchAccelerator", Tier.NEVER_FITS, False, False)
    EXCEEDS_FLEET = ("ExceedsFleet", Tier.NEVER_FITS, False, False)
    EXCEEDS_QUOTA = ("ExceedsQuota", Tier.NEVER_FITS, False, False)
    CONSTRAINT_UNSATISFIABLE = ("ConstraintUnsatisfiable", Tier.NEVER_FITS, False, False)
    QUOTA_USED = ("QuotaUsed", Tier.WAITING, True, True)
    RESOURCES_BUSY = ("ResourcesBusy", Tier.WAITING, True, True)
    FRAGMENTED = ("Fragmented", Tier.WAITING, True, True)
    BEHIND_HIGHER_PRIORITY = ("BehindHigherPriority", Tier.WAITING, True, False)
    BEHIND_FAIR_SHARE = ("BehindFairShare", Tier.WAITING, True, False)
    RESERVED_FOR = ("ReservedFor", Tier.WAITING, True, False)
    NODE_UNHEALTHY = ("NodeUnhealthy", Tier.WAITING, True, False)
    BUDGET_EXHAUSTED = ("BudgetExhausted", Tier.WAITING, True, True)
    POWER_CAP = ("PowerCap", Tier.WAITING, True, True)
    LOADING_MODEL = ("LoadingModel", Tier.STARTING, True, False)
    WAITING_FOR_GANG = ("WaitingForGang", Tier.STARTING, True, False)
    STARTING = ("Starting", Tier.STARTING, True, False)

    @property
    def token(self) -> str:
        return self.value[0]

    @property
    def tier(self) -> Tier:
        return self.value[1]

    @property
    def will_waiting_help(self) -> bool:
        return self.value[2]

    @property
    def will_preemption_help(self) -> bool:
        return self.value[3]


Evidence = dict[str, float | int | str | tuple[str, ...]]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """`token` of the dominant reason and what was measured; one value is shared by all workloads of one shape.

    `resource` is the blocking resource, `evidence` the numbers (asked, free, largest block, names of blockers).
    The two bits start from the code's and are narrowed by what is true here.
    """

    token: str
    resource: str = ""
    evidence: Evidence = msgspec.field(default_factory=dict[str, float | int | str | tuple[str, ...]])
    will_waiting_help: bool
    will_preemption_help: bool


_BY_TOKEN = {code.token: code for code in ReasonCode}


def code_of(token: str) -> ReasonCode:
    """The code of a token. KeyError where there is none: a bug, never user input."""
    return _BY_TOKEN[token]


def reason(
    code: ReasonCode,
    resource: str = "",
    evidence: Evidence | None = None,
    /,
    *,
    waiting_helps: bool | None = None,
    preemption_helps: bool | None = None,
    **more: float | str | tuple[str, ...],
) -> Reason:
    """A reason with the code's two bits, unless what is true here narrows them."""
    return Reason(
        token=code.token,
        resource=resource,
        evidence={**(evidence or {}), **more},
        will_waiting_help=code.will_waiting_help if waiting_helps is None else waiting_helps,
        will_preemption_help=code.will_preemption_help if preemption_helps is None else preemption_helps,
    )
