"""The page `docs/reference/yaml.md`, from the same models that read the files."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from suanli.spec.schema import Schema, field_schema, mapping_of, schema_of, walk
from suanli.spec.scope import Path, dotted
from suanli.spec.wording import expected_of

TEMPLATE: Path = ("scaling", "template")
"""Has the fields of a node, which the page gives once."""


class Field(NamedTuple):
    path: Path
    schema: Schema
    required: bool


def reference() -> str:
    """Markdown. Whoever changes a field writes it to the page; a test compares the two, and reads the examples."""
    batch, serve = _fields("job"), _fields("serve")
    return _PAGE.format(
        fleet=_rows(
            field for field in _fields("fleet") if field.path[:2] != TEMPLATE or field.path == TEMPLATE
        ),
        workload=_rows(field for field in batch if field in serve),
        batch=_rows(field for field in batch if field not in serve),
        serve=_rows(field for field in serve if field not in batch),
        alert=_rows(_fields("alert")),
        problem=_rows(_fields("problem")),
        mix=_rows(_fields("mix")),
    )


def _fields(kind: str) -> list[Field]:
    return [
        Field(path, field, path[-1] in mapping_of(field_schema(kind, path[:-1])).get("required", ()))
        for path, field in walk(schema_of(kind))
        if path != ("kind",)
    ]


def _rows(fields: Iterable[Field]) -> str:
    return "\n".join(_row(field) for field in fields)


def _row(field: Field) -> str:
    name = dotted(field.path).replace("[0]", "[]").replace("*", "NAME")
    value = re.sub(r" such as \S+( per accelerator)?", "", expected_of(field.schema))
    needed = " Required." if field.required else _default(field.schema)
    examples = " or ".join(f"`{example}`" for example in field.schema.get("examples", ()))
    example = f" For example {examples}." if examples else ""
    return f"| `{name}` | {value} | {field.schema['description']}{needed}{example} |"


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return ""
    value = schema["default"]
    if isinstance(value, bool):
        return f" Default: {str(value).lower()}."
    unit = "s" if schema.get("format") == "time span" else ""
    return f" Default: {value if isinstance(value, str) else format(value, 'g')}{unit}."


_PAGE = """\
# What you declare, in YAML

A file holds one or more documents, separated by `---`. Each has a `kind` and a `name`. JSON works as well; a JSON list
is as many documents. `suanli schema` prints the JSON Schema, for editors that complete and check while you type.

- Every quantity carries its unit: `80GiB` or `2TB`, `400Gbps` (bits) or `10GB/s` (bytes), `700W`, `2.5/h` (US dollars),
  `15m` (minutes), `1h30m`, `5%`. A time span without a unit is in seconds. `1..4` is a range, `4+` means 4 or more.
- Accelerators go by catalogue name or alias, any case: `H100:8`, `A100-80GB`, `T4:0.5` (a share of one).
- A command is a list of words, or a text that is split into words as a shell would. There is no shell: what needs one
  is written `[bash, -c, "..."]`.
- Words are words: `on`, `no` and `3.10` stay what they are, unless a field expects a truth value or a number.
- A field without a value counts as absent. An unknown field, and a field given twice, is an error. Anchors, aliases and
  tags are not read.
- A document has at most 1 MiB and 200,000 values, a text 64 KiB, and nothing is nested deeper than 32 levels.
- An instant without a time zone is UTC; a time span instead of an instant counts from now.

## Mistakes

All mistakes of all files are told at once, each with its place, what was expected, and a remedy:

```
train.yaml:4:13: train gpt: resources.memry: there is no field `memry` here
    Did you mean `memory`?
train.yaml:5:1: train gpt: run: the command runs without a shell, which `&&` needs; got 'cd src && python train.py'
    Write [bash, -c, "cd src && python train.py"], or quote it if it is meant literally.
```

## Changing a value on the command line

`--set path=value` changes a field before the file is checked: of all workloads in the files, or, as
`--set NAME:path=value`, of the document of that name. The path's parts are fields, and positions in lists from 0; the
value is YAML: `--set gpt:resources.accelerators=[H100:4,A100:4]`, `--set after=[]`, `--set data.0.size=2TiB`.

## kind: fleet

```yaml
kind: fleet
name: lab
nodes:
  - name: h100
    count: 2
    accelerators: H100:8
    cpus: 128
    memory: 2TiB
    storage: 30TiB
    network: 400Gbps
    site: berlin
    rack: rack-1
    price: 3.10/h per accelerator
    power: {{idle: 120W, max: 700W per accelerator}}
  - name: files
    cpus: 32
    memory: 256GiB
    site: paris
    storage:
      - {{name: /dev/sda, capacity: 16TB, spins: true, read: 200MB/s}}
      - {{name: /dev/nvme0n1, capacity: 7.68TB, read: 3GB/s}}
links:
  - {{between: [berlin, paris], bandwidth: 10Gbps, latency: 8ms}}
teams:
  nlp: {{quota: {{cpus: 128, memory: 1TiB, H100: 12}}, weight: 2}}
  vision: {{quota: {{H100: 4}}}}
scaling:
  template: {{name: extra, cpus: 16, memory: 64GiB, accelerators: T4:1}}
  max: 4
  add_after: 2m
  remove_after: 15m
accelerators:
  - {{name: X1, memory: 48GiB, tdp: 350W, price: 1.20/h, aliases: [x-one]}}
```

| Field | Value | Meaning |
| --- | --- | --- |
{fleet}

The template has the fields of a node, without `count`.

## kind: train, job and serve

`train` is checkpointed training, `job` any program that ends, `serve` a model service that stays up. What is under
`resources` is held on each node.

```yaml
kind: job
name: prepare
run: python prepare.py --out "clean data"
resources: {{cpus: 8, memory: 32GiB, disk: 100GiB}}
duration: 20m
outputs: [clean]
---
kind: train
name: gpt
team: nlp
run: [python, train.py, --lr, 3e-4]
resources: {{accelerators: [H100:8, A100-80GB:8], cpus: 64+, memory: 512GiB+}}
nodes: 2
elastic: 1..4
after: prepare
priority: 70
checkpoint: {{every: 15m}}
deadline: 2030-12-01T09:00+08:00
retry: {{limit: 3, on: [failed, out-of-memory]}}
idle: {{below: 5%, for: 30m, then: stop}}
data:
  - {{uri: "s3://corpora/web", size: 2TiB, at: rack-1}}
---
kind: serve
name: chat
run: [python, serve.py]
model: {{from: gpt}}
resources: {{accelerators: "H100:1"}}
health: /healthz
replicas: 1..4
slo: {{p95: 200ms, ttft_p95: 500ms, tpot_p95: 25ms, availability: 99.9%}}
update: {{strategy: canary, steps: [5%, 25%, 100%], auto_rollback: true}}
```

| Field | Value | Meaning |
| --- | --- | --- |
{workload}

Only `train` and `job`:

| Field | Value | Meaning |
| --- | --- | --- |
{batch}

Only `serve`:

| Field | Value | Meaning |
| --- | --- | --- |
{serve}

A service is tried again 10 times by default, another workload not at all.

## kind: alert

```yaml
kind: alert
name: node-hot
metric: cpu_fraction
above: 95%
window: 2m
for: 3m
resolve_at: 85%
summary: The node's CPU has been fully used for minutes.
```

| Field | Value | Meaning |
| --- | --- | --- |
{alert}

## kind: problem

For `suanli solve`: a one-shot question of who goes where, and when. `docs/solve.md` says what exactly is asked.

```yaml
kind: problem
name: tonight
objective: min-completion-time
nodes:
  - {{name: h100, count: 2, accelerators: H100:8, cpus: 128, memory: 1TiB}}
  - {{name: a100, count: 3, accelerators: A100-80GB:8, cpus: 96, memory: 1TiB, price: 1.70/h per accelerator}}
workloads:
  - name: pretrain
    nodes: 2
    resources: {{accelerators: [H100:8, A100-80GB:8], cpus: 64, memory: 512GiB}}
    duration: {{H100: 6h, A100-80GB: 11h}}
  - name: embed
    resources: {{accelerators: A100-80GB:4, cpus: 40, memory: 128GiB}}
    duration: 5h
```

| Field | Value | Meaning |
| --- | --- | --- |
{problem}

## kind: mix

For `suanli solve`: how much of each resource to have.

```yaml
kind: mix
name: next-month
items:
  - {{name: h100-memory, unit: GiB, price: 22, to: 5120}}
  - {{name: a100-memory, unit: GiB, price: 11, to: 10240}}
demands:
  - {{name: models in memory, per_unit: {{h100-memory: 1, a100-memory: 1}}, at_least: 6000}}
```

| Field | Value | Meaning |
| --- | --- | --- |
{mix}
"""
