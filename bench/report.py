"""The medians of the runs, as a table and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.profile import Shares

OLD, NEW = "old", "new"  # the code of `--against`, and ours
COMPARED = (
    "per_second",
    "service_us",
    "p50_ms",
    "p99_ms",
    "generator_us",
)  # the last shows the machine's speed
HEADS = (
    "transport",
    "method",
    "callers",
    "per_second",
    "p50_ms",
    "p99_ms",
    "service_us",
    "sandbox_us",
    "database_us",
    "generator_us",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the generator against the service; CPU includes publishing the run's events."""

    transport: str
    method: str
    callers: int
    per_second: float
    p50_ms: float
    p99_ms: float
    service_us: float
    sandbox_us: float
    database_us: float  # of the database's own processes on this machine, if any
    generator_us: float
    outbox: int  # events not yet published at the end of the window
    answered: int  # calls, those of the warm-up included
    shares: Shares | None = None  # the service's CPU use, if profiled
    code: str = ""  # with `--against`: OLD or NEW


@dataclass(slots=True)
class Results:
    """Everything that was measured."""

    machine: Mapping[str, object]
    seconds: float
    database: str = ""
    runs: list[Run] = field(default_factory=list)
    bare: dict[int, list[float]] = field(default_factory=dict)  # orders/s by orders per commit
    bare_us: dict[int, list[float]] = field(default_factory=dict)  # CPU µs per order, likewise
    fdatasync_us: list[float] = field(default_factory=list)
    first_start_s: list[float] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    rest_mib: list[float] = field(default_factory=list)
    busy_mib: list[float] = field(default_factory=list)
    counted: int = 0


def as_text(results: Results) -> str:
    """What is printed."""
    if not results.runs[0].code:
        return as_table(summary(results))
    rows = comparison(results)
    more = [medians_of(group, {}) for group in grouped(results.runs) if not is_of_both(group)]
    lines = [*aligned(rows, list(rows[0])), "", *aligned(more, HEADS), ""]
    return "\n".join([*lines, f"machine: {dict(results.machine)}", f"orders_counted: {results.counted}"])


def summary(results: Results) -> dict[str, object]:
    """The medians, as in the committed reference."""
    bare = {per_commit: statistics.median(rates) for per_commit, rates in results.bare.items()}
    lines = [medians_of(group, results.bare) for group in grouped(results.runs)]
    return {
        "machine": dict(results.machine),
        "seconds_a_run": results.seconds,
        "database": results.database,
        "create_order": [one for one in lines if one["method"] == "CreateOrder"],
        "other": [one for one in lines if one["method"] != "CreateOrder"],
        "bare": {f"{n}_a_commit": round(rate) for n, rate in bare.items()},
        "bare_cpu_us": {f"{n}_a_commit": rounded_median(us) for n, us in results.bare_us.items()},
        "fdatasync_us": rounded_median(results.fdatasync_us),
        "first_start_s": rounded_median(results.first_start_s, 2),
        "start_s": rounded_median(results.start_s, 2),
        "rest_mib": rounded_median(results.rest_mib, 1),
        "busy_mib": rounded_median(results.busy_mib, 1),
        "orders_counted": results.counted,
    }


def grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs grouped by method, callers and transport."""
    kinds = sorted({(run.method, run.callers, run.transport) for run in runs})
    return [[run for run in runs if (run.method, run.callers, run.transport) == kind] for kind in kinds]


def is_of_both(group: Sequence[Run]) -> bool:
    """Whether the old code ran as well."""
    return any(run.code == OLD for run in group)


def comparison(results: Results) -> list[dict[str, object]]:
    """The medians of both codes, and of the ratios new to old within a round."""
    rows = []
    for group in filter(is_of_both, grouped(results.runs)):
        old, new = ([run for run in group if run.code == code] for code in (OLD, NEW))
        row: dict[str, object] = {
            name: getattr(group[0], name) for name in ("transport", "method", "callers")
        }
        for name in COMPARED:
            pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(old, new, strict=True)]
            digits = 2 if name.endswith("ms") else 0
            row[f"old_{name}"] = rounded_median([a for a, _ in pairs], digits)
            row[f"new_{name}"] = rounded_median([b for _, b in pairs], digits)
            row[f"{name}_ratio"] = rounded_median([b / a for a, b in pairs if a], 3)
        rows.append(row)
    return rows


def medians_of(group: Sequence[Run], bare: Mapping[int, Sequence[float]]) -> dict[str, object]:
    """The medians of a group; ratios are within a round, so that a slow minute affects both."""
    head = group[0]
    medians: dict[str, object] = {
        "transport": head.transport,
        "method": head.method,
        "callers": head.callers,
        "runs": len(group),
        "per_second": rounded_median([run.per_second for run in group]),
        "p50_ms": rounded_median([run.p50_ms for run in group], 2),
        "p99_ms": rounded_median([run.p99_ms for run in group], 2),
        "service_us": rounded_median([run.service_us for run in group]),
        "sandbox_us": rounded_median([run.sandbox_us for run in group]),
        "database_us": rounded_median([run.database_us for run in group]),
        "generator_us": rounded_median([run.generator_us for run in group]),
    }
    if head.method == "CreateOrder":
        medians["outbox_at_end"] = rounded_median([run.outbox for run in group])
        for per_commit, rates in bare.items():
            ratios = [run.per_second / rate for run, rate in zip(group, rates, strict=True)]
            medians[f"ratio_to_{per_commit}_a_commit"] = rounded_median(ratios, 2)
    return medians


def rounded_median(values: Sequence[float], digits: int = 0) -> float:
    """The rounded median; 0 without values."""
    return round(statistics.median(values), digits or None) if values else 0


def as_table(medians: Mapping[str, object]) -> str:
    """The table that is printed."""
    rows = [*as_rows(medians["create_order"]), *as_rows(medians["other"])]
    ratios = sorted({name for row in rows for name in row if name.startswith("ratio")}, key=len)
    text = aligned(rows, [*HEADS, *ratios])
    rest = (
        "machine",
        "database",
        "bare",
        "bare_cpu_us",
        "fdatasync_us",
        "first_start_s",
        "start_s",
        "rest_mib",
        "busy_mib",
    )
    text += ["", *(f"{name}: {medians[name]}" for name in (*rest, "orders_counted"))]
    return "\n".join(text)


def aligned(rows: Sequence[Mapping[str, object]], heads: Sequence[str]) -> list[str]:
    """The lines of a table with these columns."""
    table = [list(heads), *([str(row.get(name, "")) for name in heads] for row in rows)]
    widths = [max(len(cell[i]) for cell in table) for i in range(len(heads))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]


def profiles(results: Results) -> str:
    """Three lines for each profiled run."""
    lines = []
    for run in results.runs:
        if run.shares:
            lines.append(
                f"{run.method} over {run.transport}, {run.callers} callers: CPU of the service in percent"
            )
            for by, shares in (("thread", run.shares.threads), ("library", run.shares.libraries)):
                parts = ", ".join(f"{name} {share:g}" for name, share in shares.items())
                lines.append(f"  by {by}: {parts}")
    return "\n".join(lines)


def as_rows(value: object) -> list[dict[str, object]]:
    """The rows of a part of the summary."""
    assert isinstance(value, list)
    return value


def write(path: Path, results: Results) -> None:
    """The medians and every run, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    every = {
        "runs": [asdict(run) for run in results.runs],
        "bare": {str(n): [round(rate) for rate in rates] for n, rates in results.bare.items()},
    }
    medians = comparison(results) if results.runs[0].code else summary(results)
    document = {"medians": medians, "every_run": rounded(every)}
    path.write_text(json.dumps(document, indent=1) + "\n")


def rounded(value: object) -> object:
    """The value with floats rounded to three digits."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return value
