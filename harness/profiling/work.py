"""What can be timed on a tier: one named piece of work, the same name on both sides of the agent's socket."""

from __future__ import annotations

from dataclasses import dataclass

from harness.results.schema import Key

KINDS = ("block", "head", "tail", "codec")


@dataclass(frozen=True)
class Work:
    """One piece of work of a tier.

    kind   what runs                                                          fields
    block  layers `start`+1 .. `end` of the model (index 0 is the input);     start, end
           none where both are the same: what a call costs
    head   layers 1 .. `end`: what the device computes for a cut at `end`     end
    tail   layers `start`+1 .. the last: what the edge computes for that cut  start
    codec  the transfer layer's half and the wire format's half of `key`      key
    """

    kind: str
    start: int = 0
    end: int = 0
    key: Key | None = None

    def __str__(self) -> str:
        if self.kind == "codec":
            return f"codec/{self.key}"
        return f"{self.kind}/{self.start}/{self.end}"

    @classmethod
    def parse(cls, text: str) -> Work:
        """The inverse of `str(work)`; raises ValueError for anything else."""
        kind, _, rest = text.partition("/")
        if kind == "codec":
            return cls("codec", key=Key.parse(rest))
        if kind not in KINDS:
            raise ValueError(f"not a piece of work: {text!r}")
        start, end = (int(number) for number in rest.split("/"))
        return cls(kind, start, end)

    @classmethod
    def block(cls, start: int, end: int) -> Work:
        """Layers `start`+1 .. `end`."""
        return cls("block", start, end)

    @classmethod
    def head(cls, cut: int) -> Work:
        """What the device computes for a cut."""
        return cls("head", 0, cut)

    @classmethod
    def tail(cls, cut: int) -> Work:
        """What the edge computes for it."""
        return cls("tail", cut, 0)

    @classmethod
    def codec(cls, key: Key) -> Work:
        """What a candidate does to the tensor at its cut, on either tier."""
        return cls("codec", key=key)
