"""What things are called within a Ray cluster."""

NAMESPACE = "suanli"
HUB = "suanli:hub"
AGENT_PREFIX = "suanli:agent:"
NODE_LABEL = "suanli-node"
ACCELERATOR_LABEL = "suanli-accelerator"
NODE_ID_LABEL = "ray.io/node-id"
HEAD_RESOURCE = "node:__internal_head__"
_GROUP_PREFIX = "suanli:group:"
SUPERVISOR_PREFIX = "suanli:worker:"


def group_name(key: str, number: int, form: str) -> str:
    """Of a gang's placement group; it has several forms, of which one exists at a time."""
    return f"{_GROUP_PREFIX}{key}:{number}:{form}"


def supervisor_name(key: str, number: int, rank: int) -> str:
    return f"{SUPERVISOR_PREFIX}{key}:{number}:{rank}"


def attempt_of(name: str) -> tuple[str, int] | None:
    """Whose group or supervisor that is; None for what is not Suanli's."""
    for prefix in (_GROUP_PREFIX, SUPERVISOR_PREFIX):
        if name.startswith(prefix):
            key, number, _ = name.removeprefix(prefix).rsplit(":", 2)
            return key, int(number)
    return None
