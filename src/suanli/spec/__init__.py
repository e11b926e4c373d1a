"""What people declare, in YAML or JSON, read into domain values; every mistake with its place and a remedy."""

from suanli.spec.problems import Problem, SpecErrors
from suanli.spec.read import Declarations, read
from suanli.spec.schema import schema
from suanli.spec.scope import AcceleratorCatalog, CatalogWith, KnownAccelerator, OwnAccelerator
from suanli.spec.tree import Source

__all__ = [
    "AcceleratorCatalog",
    "CatalogWith",
    "Declarations",
    "KnownAccelerator",
    "OwnAccelerator",
    "Problem",
    "Source",
    "SpecErrors",
    "read",
    "schema",
]
