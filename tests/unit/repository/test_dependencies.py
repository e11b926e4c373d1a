"""What is imported is declared, what is declared is pinned, and the pins name no machine."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(requirement).name) for requirement in requirements}


def imported_packages() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"suanli"}


def test_every_package_that_suanli_imports_is_a_declared_dependency() -> None:
    distributions = packages_distributions()
    extras = PROJECT["optional-dependencies"]
    declared = names(PROJECT["dependencies"] + extras["solve"] + extras["serve"] + extras["mlflow"])
    undeclared = {
        package
        for package in imported_packages()
        if not declared & {canonicalize_name(name) for name in distributions.get(package, [])}
    }
    assert undeclared == set()


def test_every_declared_dependency_is_pinned_within_its_range() -> None:
    pinned = {
        canonicalize_name(pin.name): pin for pin in (Requirement(line.partition("#")[0]) for line in PINS)
    }
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    for requirement in map(Requirement, PROJECT["dependencies"] + extras):
        (pin,) = pinned[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), requirement


def test_the_pins_name_no_host_no_path_and_no_build_of_torch() -> None:
    for line in PINS:
        requirement = line.partition("#")[0]
        assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+\s*(;[^/@+]*)?", requirement.strip()), line
        assert "/" not in line, line


def test_cudas_libraries_are_left_to_torch() -> None:
    cuda = {
        name
        for name in names([line.partition("#")[0] for line in PINS])
        if name.startswith(("nvidia", "cuda"))
    }
    assert cuda == {"nvidia-ml-py"}
