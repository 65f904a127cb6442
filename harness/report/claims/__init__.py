"""The paper's claims as data (`experiments/claims.yaml`) against what cells on disk say (pure).

`read` gives the claims, `evaluate` computes each from the cells of its experiments, `table` and `write` show them.
"""

from harness.report.claims.evaluation import KINDS, Outcome, evaluate
from harness.report.claims.schema import Claim, read
from harness.report.claims.tables import console, table, write

__all__ = ["KINDS", "Claim", "Outcome", "console", "evaluate", "read", "table", "write"]
