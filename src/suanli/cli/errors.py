"""Errors as the command line shows them: the same object as the API's, in words or as a problem object, on stderr."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from suanli.domain.errors import SuanliError
from suanli.reports.quantities import bandwidth, duration, memory

TIMED_OUT = 124
EVIDENCE_MAX = 12
PROBLEMS_SHOWN_MAX = 50


class TimedOut(SuanliError):
    """It took longer than the time allowed."""

    code = "SL-TIMEOUT"
    exit_code = TIMED_OUT
    http_status = 504


class Refused(SuanliError):
    """The controller refused. Made from its problem object, so code and exit code are the controller's."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(
            str(problem.get("detail") or problem.get("title") or ""),
            remedy=str(problem.get("remedy") or ""),
            evidence=problem.get("evidence") or {},
            code=str(problem.get("code") or ""),
        )
        self.exit_code = int(problem.get("exit_code") or 1)
        self.http_status = int(problem.get("status") or 500)
        self.problems: list[Mapping[str, Any]] = list(problem.get("problems") or ())


def problem_of(error: SuanliError) -> dict[str, Any]:
    """The error as RFC 9457 has it, with our own members."""
    problem = {
        "type": f"urn:suanli:error:{error.code}",
        "title": error.sentence,
        "detail": error.sentence,
        "status": error.http_status,
        "code": error.code,
        "exit_code": error.exit_code,
        "remedy": error.remedy,
        "evidence": {name: value for name, value in error.evidence.items() if name != "problems"},
    }
    mistakes = _mistakes(error)
    return {**problem, "problems": mistakes} if mistakes else problem


def as_json(error: SuanliError) -> str:
    return json.dumps(problem_of(error), ensure_ascii=False, indent=2, default=str)


def as_text(error: SuanliError) -> str:
    """`CODE  sentence`, then evidence, then the remedy; of a declaration, every mistake with its place."""
    return "\n".join(_lines(error))


def _lines(error: SuanliError) -> Iterator[str]:
    yield f"{error.code}  {error.sentence}"
    mistakes = _mistakes(error)
    for mistake in mistakes[:PROBLEMS_SHOWN_MAX]:
        yield from (f"  {line}" for line in mistake_lines(mistake))
    if len(mistakes) > PROBLEMS_SHOWN_MAX:
        yield f"  and {len(mistakes) - PROBLEMS_SHOWN_MAX} more (`-o json` shows all)"
    evidence = [(name, value) for name, value in error.evidence.items() if name != "problems"]
    for name, value in evidence[:EVIDENCE_MAX]:
        label, text = named(name, value)
        yield f"  {label:<12} {text}"
    if error.remedy:
        yield f"  {'remedy':<12} {error.remedy}"


def _mistakes(error: SuanliError) -> list[Mapping[str, Any]]:
    """Of a SpecError: file, line, column, document, field, message, remedy of each mistake."""
    return list(
        getattr(error, "problems", ()) if isinstance(error, Refused) else error.evidence.get("problems", ())
    )


def mistake_lines(mistake: Mapping[str, Any]) -> Iterator[str]:
    """`file:line:column: document: field: message`, and the remedy."""
    place = str(mistake.get("file", ""))
    if mistake.get("line"):
        place += f":{mistake['line']}:{mistake.get('column', 1)}"
    said = [place, mistake.get("document"), mistake.get("field"), mistake.get("message")]
    yield ": ".join(str(part) for part in said if part)
    if mistake.get("remedy"):
        yield f"    {mistake['remedy']}"


def named(name: str, value: Any) -> tuple[str, str]:
    """A name and a value as people write them; the unit goes from the name to the value."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        for ending, write in (("_s", duration), ("_bytes", memory), ("_bps", bandwidth)):
            if name.endswith(ending):
                return name.removesuffix(ending).replace("_", " "), write(value)
    return name.replace("_", " "), shown(value)


def shown(value: Any) -> str:
    """Evidence in one short line."""
    if isinstance(value, (list, tuple)):
        text = ", ".join(shown(item) for item in value) or "none"
    elif isinstance(value, Mapping):
        text = ", ".join(" ".join(named(str(name), item)) for name, item in value.items())
    elif isinstance(value, float):
        text = f"{value:g}"
    else:
        text = str(value)
    return textwrap.shorten(text, 200, placeholder=" …")
