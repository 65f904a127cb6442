"""The part of a cell that needs a testbed: profiles where the cache has none, then the requests."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cell import encodings
from harness.cell.cache import ProfileCache
from harness.cell.forecasting import predicted_best
from harness.cell.library import keep_features
from harness.cell.profiler import Advance, Method, prepare_both, profile_tiers
from harness.offloader.runner import Request, Runner, anchor, echo, measure
from harness.prediction.calibration import calibrate
from harness.prediction.monotonic import warning
from harness.prediction.profile import Calibration, Flag, Profiles, TierProfile
from harness.prediction.selection import anchor_keys, measured_keys
from harness.profiling.work import Work
from harness.results.records import CellWriter
from harness.results.schema import Key, Row, Sample
from harness.spec import Spec
from harness.testbed.local import LocalTestbed
from harness.validation.server import cross_check

#: Echoes without compute that calibrate what gRPC and the server add; sizes that no candidate has.
ECHO_BYTES = (2_000, 60_000, 400_000)
#: As JSON a tensor weighs some five times as much: the same tensors are to lie between the echoes.
_JSON_WEIGHT = 5
#: Rounds of whole heads and tails behind a forecast, which is to stand on the screen soon; `predicted_ms` does not
#: use them.
CALIBRATION_ROUNDS = 4
#: On a host that wavers more of them, until the medians' standard error is this share of the time, or so many rounds.
STEADY_SPREAD, MOST_CALIBRATION_ROUNDS = 0.01, 8
#: Warm-up rounds before them, the last at the device's pace.
CALIBRATION_WARMUP = 2


@dataclass(frozen=True)
class Measured:
    """What the requests of a cell gave.

    samples: of the measured candidates, in the order in which they ran.
    calibration: of the anchors and echoes interleaved with them.
    anchors: candidates that were also anchors: their own runs without the link are behind their prediction.
    server: what Triton counted of these requests beside what we clocked (`validation.server`); None without an edge.
    """

    samples: list[Sample]
    calibration: Calibration
    anchors: list[Key]
    server: dict[str, Any] | None = None


class CellRunner:
    """Profiles and measures one cell on one testbed.

    Args:
        bed: entered and loaded.
        loaded: what its `load` said.
        advance: told (what is being done, share of it done).
    """

    def __init__(self, spec: Spec, bed: LocalTestbed, loaded: dict[str, object], advance: Advance) -> None:
        self._spec = spec
        self._bed = bed
        self._loaded = loaded
        self._advance = advance
        self._cache = ProfileCache(spec)
        self._runner = Runner(
            bed.agent, bed.trace, request_timeout_s=spec.measure.timeout_s, one_clock=spec.hardware.one_clock
        )

    def profiles(self) -> Profiles:
        """From the cache where it has them; what is missing is measured and kept."""
        spec = self._spec
        found = self._tiers(("device", "edge"))
        tiers = found["device"], found["edge"]
        calibration = None if spec.profile.refresh else self._cache.calibration()
        if calibration is None:
            calibration = self._calibration(tiers[0])
            self._cache.keep(calibration)
            self._warn(calibration.flags, "the anchors")
        profiles = Profiles(*tiers, calibration, forced=dict(self._cache.forced))
        keep_features(spec, self._loaded)
        self._cache.export(profiles)
        return profiles

    def _tiers(self, wanted: Sequence[str]) -> dict[str, TierProfile]:
        """Profiles of these tiers; only one that the cache lacks is made."""
        spec = self._spec
        kept = {} if spec.profile.refresh else self._cache.thorough()
        missing = {tier: self._cache.fingerprints[tier] for tier in wanted if tier not in kept}
        if not missing:
            return kept
        journals = {tier: self._cache.journal(tier, anew=spec.profile.refresh) for tier in missing}
        kept_rounds = sum(journal.finished for journal in journals.values())
        if kept_rounds:
            self._say(f"profile: going on after {kept_rounds} finished rounds of a run that was stopped")
        made = profile_tiers(
            self._bed.agent,
            self._loaded,
            missing,
            Method(
                encodings=encodings.ranked(spec),
                execution=spec.profile.execution,
                rounds=spec.profile.rounds,
                eager_rounds=spec.profile.eager_rounds,
                warmup=spec.profile.warmup,
                seed=spec.seed,
            ),
            journals=journals,
            advance=self._advance,
        )
        for tier, profile in made.items():
            self._cache.keep(profile)
            journals[tier].remove()
            self._warn(profile.flags, f"the profile of the {tier}")
        return kept | made

    def _warn(self, flags: Sequence[Flag], what: str) -> None:
        line = warning(flags, what)
        if line is not None:
            self._say(line)

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def profile_files(self) -> dict[str, str]:
        """The files behind the forecast, by what they hold."""
        return self._cache.files()

    def measure(self, profiles: Profiles, rows: Sequence[Row], writer: CellWriter) -> Measured:
        """Measure a chosen part of `rows`, anchors and echoes interleaved; each sample is written as it comes."""
        spec = self._spec
        anchors = self._anchor_keys(profiles.device)
        keys = measured_keys(
            rows,
            splits=spec.measure.splits,
            spread=spec.measure.spread,
            encodings=encodings.measured(spec),
            landmarks=spec.model.landmarks,
            landmarks_none=spec.measure.landmarks_none,
            baselines=spec.measure.baselines,
            best=predicted_best(rows, spec),
            anchors=anchors,
        )
        found, pause_ms, restarts = spec.measure.connection, spec.measure.pause_ms, spec.link.tcp.slow_start_after_idle
        requests = [measure(key, found, pause_ms, restarts=restarts) for key in keys]
        requests += self._calibrating(anchors, pause_ms if found == "idle" else 0.0)
        self._prepare([*keys, *anchors], "compiling heads and tails")
        self._warm(requests, spec.measure.warmup)
        samples: list[Sample] = []
        others: list[tuple[Request, Sample]] = []
        total = len(requests) * spec.measure.samples
        before = self._bed.agent.call("statistics")
        running = self._runner.rounds(requests, spec.measure.samples, seed=spec.seed)
        for done, (request, sample) in enumerate(running, start=1):
            if request.kind == "measure":
                samples.append(sample)
                writer.samples(sample)
            else:
                others.append((request, sample))
                writer.calibration_sample(request.kind, request.name, sample)
            self._advance("measuring", done / total)
        everything = [*samples, *(sample for _, sample in others)]
        server = cross_check(before, self._bed.agent.call("statistics"), everything)
        return Measured(samples, self._reduce(others), anchors, server)

    # -- calibration ------------------------------------------------------------------------------------

    def _calibration(self, device: TierProfile) -> Calibration:
        anchors = self._anchor_keys(device)
        requests = self._calibrating(anchors)
        self._prepare(anchors, "compiling anchors")
        self._warm(requests, CALIBRATION_WARMUP)
        observed: list[tuple[Request, Sample]] = []
        for number in range(MOST_CALIBRATION_ROUNDS):
            for done, pair in enumerate(self._runner.rounds(requests, 1, seed=self._spec.seed + number), start=1):
                observed.append(pair)
                self._advance("calibrating on anchors", (number + done / len(requests)) / MOST_CALIBRATION_ROUNDS)
            if number + 1 >= CALIBRATION_ROUNDS and self._reduce(observed).compute_spread <= STEADY_SPREAD:
                break
        self._advance("calibrating on anchors", 1.0)
        return self._reduce(observed)

    def _anchor_keys(self, device: TierProfile) -> list[Key]:
        spec = self._spec
        return anchor_keys(
            device,
            count=spec.profile.anchors,
            encoding=encodings.own(spec),
            avoid=spec.model.landmarks,
        )

    def _calibrating(self, anchors: Iterable[Key], pause_ms: float = 0.0) -> list[Request]:
        restarts = self._spec.link.tcp.slow_start_after_idle
        weight = _JSON_WEIGHT if self._spec.communicator.name == "http_json" else 1
        echoes = [echo(weight * size, restarts=restarts) for size in ECHO_BYTES]
        return [anchor(key, pause_ms) for key in anchors] + echoes

    def _reduce(self, observed: Sequence[tuple[Request, Sample]]) -> Calibration:
        anchors: dict[str, list[Sample]] = {}
        echoes: dict[int, list[Sample]] = {}
        for request, sample in observed:
            if request.kind == "anchor":
                anchors.setdefault(request.name, []).append(sample)
            else:
                echoes.setdefault(int(request.name), []).append(sample)
        return calibrate(
            anchors,
            echoes,
            link=self._bed.link,
            slowdown=self._spec.hardware.device.slowdown,
            response_bytes=self._runner.response_bytes,
            fingerprint=self._cache.calibration_fingerprint,
        )

    # -- before the clock runs --------------------------------------------------------------------------

    def _prepare(self, keys: Sequence[Key], what: str) -> None:
        """Compile the slices of these candidates on both tiers, so that none is compiled while timed."""
        last = int(str(self._loaded["last"]))
        heads = {key.split or last for key in keys if key.candidate != "edge-only"}
        tails = {key.split or 0 for key in keys if key.candidate != "device-only"}
        codecs = [str(Work.codec(key)) for key in keys if key.candidate != "device-only"]
        prepare_both(
            self._bed.agent,
            [str(Work.head(cut)) for cut in sorted(heads)] + codecs,
            [str(Work.tail(cut)) for cut in sorted(tails)] + codecs,
            "compiled",
            lambda share: self._advance(what, share),
        )

    def _warm(self, requests: Sequence[Request], rounds: int) -> None:
        """Open the connection's window, then run everything `rounds` times: the last time at the device's pace,
        the others without its waits."""
        tcp = self._spec.link.tcp
        if tcp.warmup_transfers:
            self._runner.warm([echo(tcp.warmup_bytes)] * tcp.warmup_transfers)
        for number in range(rounds):
            self._runner.warm(requests, paced=number == rounds - 1)
            self._advance("warming up", (number + 1) / rounds)
