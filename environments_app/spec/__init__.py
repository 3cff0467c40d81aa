"""Reads what people ask for: text to a Spec, or errors that name the line."""

from environments_app.spec.document import MAX_SPEC_BYTES
from environments_app.spec.environment_yaml import read_environment
from environments_app.spec.errors import Problem, SpecInvalid
from environments_app.spec.kinds import MAX_LOCK_SPEC_BYTES, kind_of, parse
from environments_app.spec.model import Line, PipOptions, Spec

__all__ = [
    "MAX_LOCK_SPEC_BYTES",
    "MAX_SPEC_BYTES",
    "Line",
    "PipOptions",
    "Problem",
    "Spec",
    "SpecInvalid",
    "kind_of",
    "parse",
    "read_environment",
]
