"""What an experiment is: the typed schema, its ranges and units, and its errors in one line each."""

from harness.spec.fields import CODE, PROJECT
from harness.spec.schema import AVAILABLE_MODES, Spec, units

__all__ = ["AVAILABLE_MODES", "CODE", "PROJECT", "Spec", "units"]
