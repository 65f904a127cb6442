"""What a claim is: a line of `experiments/claims.yaml`, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from harness.errors import HarnessError
from harness.results.schema import TERMS


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[Annotated[tuple[str, ...], Field(min_length=1)], BeforeValidator(_listed)]


class Selection(_Part):
    """Rows of a cell.

    experiment: folders that the cell may be in, the first that has it.
    hardware: one, or with `best_cut` several; None: any.
    cuts: the first and the last Keras index that count, both included.
    take: of the rows' values the `least` (the best latency), the `mean` or the `largest`.
    """

    experiment: Names
    model: str | None = None
    hardware: Names | None = None
    bandwidth: float | None = None
    candidate: Literal["split", "device-only", "edge-only"] = "split"
    transfer_layer: str | None = None
    cuts: tuple[int, int] | None = None
    take: Literal["least", "mean", "largest"] = "least"


_WAYS = ("ratio", "best_cut", "term_us", "payload", "smallest_payload", "mean_error", "duration", "accuracy")


class Compute(_Part):
    """How a claim's number comes from cells; exactly one of these.

    ratio         a selection's value over another's; with `pair: cut` cut by cut, the largest of all
    best_cut      the cut of the least latency; with `counts` the share of the named hardware that has that cut
    term_us       the largest value of a term, microseconds
    payload       the bytes of a selection over another's, cut by cut, the median
    smallest_payload  the cut of the fewest bytes
    mean_error    mean |predicted - measured| / measured over the rows, percent
    duration      minutes that a cell took; as a ratio, one over another
    accuracy      of a training: its `value`
    """

    ratio: tuple[Selection, Selection] | None = None
    pair: Literal["cut"] | None = None
    best_cut: Selection | None = None
    counts: int | None = None
    term_us: Selection | None = None
    term: Literal[TERMS] | None = None  # type: ignore[valid-type]
    payload: tuple[Selection, Selection] | None = None
    smallest_payload: Selection | None = None
    mean_error: Selection | None = None
    duration: Selection | tuple[Selection, Selection] | None = None
    accuracy: Selection | None = None
    value: Literal["original_top5", "retrained_top5", "top5_drop_points"] | None = None

    @property
    def selections(self) -> list[Selection]:
        """All that it looks at."""
        given = [getattr(self, name) for name in _WAYS]
        pairs = [own if isinstance(own, tuple) else (own,) for own in given if own is not None]
        return [selection for pair in pairs for selection in pair]

    @model_validator(mode="after")
    def _one(self) -> Compute:
        given = [name for name in _WAYS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of {', '.join(_WAYS)} is wanted, got {', '.join(given) or 'none'}")
        for way, needed in (("term_us", "term"), ("accuracy", "value")):
            if (getattr(self, way) is None) != (getattr(self, needed) is None):
                raise ValueError(f"{way} and {needed} belong together")
        return self


class Claim(_Part):
    """One number that the paper states.

    paper: the number; None where the paper gives words alone.
    expect: what ours has to be for the claim to be carried: `at_least` (the paper's "up to"), `at_most`, `equal`, or
        `told`: there is nothing to hold it against.
    needs: the hardware, data and weights behind the paper's number.
    comparable: whether ours means the same thing; `because`: why, or what differs.
    """

    id: str
    section: str
    claim: str
    paper: float | None
    unit: str
    expect: Literal["at_least", "at_most", "equal", "told"]
    needs: str
    comparable: Literal["yes", "partly", "no"]
    because: str
    compute: Compute


def read(path: Path) -> list[Claim]:
    """The claims in a file.

    Raises:
        HarnessError: the file cannot be read, is no list of claims, or names one twice; in one line.
    """
    try:
        lines: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise HarnessError(f"{path}: {' '.join(str(error).split())}; a YAML list of claims is wanted") from error
    if not isinstance(lines, list) or not lines:
        raise HarnessError(f"{path}: a YAML list of claims is wanted, got {type(lines).__name__}")
    claims = []
    for place, line in enumerate(lines, start=1):
        try:
            claims.append(Claim.model_validate(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            name = line.get("id", "without id") if isinstance(line, dict) else "no mapping"
            raise HarnessError(f"{path}: claim {place} ({name}): {where}: {first['msg']}") from error
    twice = [claim.id for place, claim in enumerate(claims) if claim.id in {each.id for each in claims[:place]}]
    if twice:
        raise HarnessError(f"{path}: the id {twice[0]} stands twice; each claim has one of its own")
    return claims
