from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from suanli.catalog.accelerators import Accelerator, Catalog, load
from suanli.spec import Declarations, OwnAccelerator, Problem, Source, SpecErrors, read

NOW_S = 1_800_000_000.0


def catalog_with(own: Sequence[OwnAccelerator]) -> Catalog:
    return load().with_user(Accelerator(**msgspec.structs.asdict(entry)) for entry in own)


@pytest.fixture
def declare() -> Callable[..., Declarations]:
    """Reads texts, called f.yaml, g.yaml and so on, from the folder /home/ada."""

    def declare(*texts: str, **options: Any) -> Declarations:
        sources = [
            Source(f"{name}.yaml", text, "/home/ada") for name, text in zip("fghijk", texts, strict=False)
        ]
        return read(sources, catalog_with, now_s=NOW_S, **options)

    return declare


@pytest.fixture
def mistakes(declare: Callable[..., Declarations]) -> Callable[..., tuple[Problem, ...]]:
    """The problems of texts that are not right."""

    def mistakes(*texts: str, **options: Any) -> tuple[Problem, ...]:
        with pytest.raises(SpecErrors) as caught:
            declare(*texts, **options)
        return caught.value.problems

    return mistakes
