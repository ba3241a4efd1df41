"""`python -m bench`: how many orders a second, against a bare loop on the same disk in the same minute."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from bench import counting, databases, machine, profile, report
from bench.report import Results, Run
from bench.shop import Failed, Generator, Shop

CALLERS = (1, 16, 32)
TRANSPORTS = ("grpcio", "native")
SEEN_AGAIN = ("GetOrder (cached)",)  # orders are cached where a cache is shared
OTHERS = ("GetOrder", "ListOrders", "CheckReservations", "PayOrder", "NotifyPayment")
TOGETHER = 16  # orders a commit of the batched bare loop; callers of the other methods
REST_S = 2.0
WARM_UP_S = 1.0


def main() -> int:
    """The exit code: 0, or 1 with one line that says what is wrong."""
    chosen = arguments()
    chosen.dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=chosen.dir))
    try:
        results = measured(folder, chosen)
    except (machine.NotOnDisk, counting.WrongCount, Failed) as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 1
    finally:
        if not chosen.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(report.shown(report.summary(results)))
    if chosen.profile:
        print(f"\n{report.profiles(results)}")
    path = chosen.json or Path(__file__).parent / "results" / f"{time.strftime('%Y%m%d-%H%M%S')}.local.json"
    report.write(path, results)
    print(f"written to {path}")
    return 0


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of short runs")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (default 5)")
    parser.add_argument("--seconds", type=float, help="of one run (default 4)")
    parser.add_argument("--callers", type=int, nargs="+", default=list(CALLERS), help="default 1 16 32")
    parser.add_argument(
        "--transports", nargs="+", default=list(TRANSPORTS), help="of gRPC; default grpcio native"
    )
    parser.add_argument("--dir", type=Path, default=Path("data"), help="where the databases lie; a real disk")
    parser.add_argument("--json", type=Path, help="where the result is written")
    parser.add_argument(
        "--db", default=databases.SQLITE, help="sqlite, or mysql://user:password@host:port/database"
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a setting, e.g. CACHE__URL=redis://…",
    )
    parser.add_argument("--profile", action="store_true", help="where the CPU went; needs perf")
    parser.add_argument("--keep", action="store_true", help="leave databases and logs in place")
    chosen = parser.parse_args()
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 5)
    chosen.seconds = chosen.seconds or (2.0 if chosen.quick else 4.0)
    return chosen


def measured(folder: Path, chosen: argparse.Namespace) -> Results:
    """Every round. Raises NotOnDisk, WrongCount, Failed."""
    kind = machine.require_disk(folder)
    results = Results(machine.described(kind), chosen.seconds)
    for number in range(chosen.rounds):
        last = number == chosen.rounds - 1
        for transport in chosen.transports[:: -1 if number % 2 else 1]:  # no one of them is always first
            here = folder / f"{number}-{transport}"
            here.mkdir()
            database = databases.database(chosen.db, here)
            try:
                if len(results.fdatasync_us) == number:
                    bare(database, here, chosen, results)
                one_round(here, database, transport, chosen, results, last=last)
            finally:
                if not chosen.keep:
                    database.drop()
        print(f"round {number + 1} of {chosen.rounds} done", file=sys.stderr)
    return results


def bare(database: databases.Database, folder: Path, chosen: argparse.Namespace, results: Results) -> None:
    """What the disk and the database do without a service, in this round."""
    results.database = database.name
    results.fdatasync_us.append(machine.fdatasync_us(folder))
    for a_commit in (1, TOGETHER):
        rate, us = database.bare(a_commit, chosen.seconds / 2)
        results.bare.setdefault(a_commit, []).append(rate)
        results.bare_us.setdefault(a_commit, []).append(us)


def one_round(
    folder: Path,
    database: databases.Database,
    transport: str,
    chosen: argparse.Namespace,
    results: Results,
    *,
    last: bool,
) -> None:
    """A fresh service and sandbox, driven by 1, 16 and 32 callers; then the rows are counted."""
    answers = folder / "answers.txt"
    settings = dict(setting.split("=", 1) for setting in chosen.set)
    shop = Shop(folder, database, {**settings, "SERVER__GRPC_TRANSPORT": transport})
    with shop:
        results.first_start_s.append(shop.start_s)
        shop.stop_service()
        shop.start_service()
        results.start_s.append(shop.start_s)
        time.sleep(REST_S)
        results.rest_mib.append(sum(map(machine.resident_mib, shop.service_pids)))
        with Generator(shop, answers) as load:
            for callers in chosen.callers:
                results.runs.append(run(shop, load, "CreateOrder", callers, chosen))
            cached = SEEN_AGAIN if "CACHE__URL" in shop.settings else ()
            for kind in (*cached, *OTHERS) if last else ():
                results.runs.append(run(shop, load, kind, TOGETHER, chosen))
        results.busy_mib.append(sum(map(machine.resident_mib, shop.service_pids)))
    results.counted += counting.compare(database, answers)


def run(shop: Shop, load: Generator, method: str, callers: int, chosen: argparse.Namespace) -> Run:
    """One run; the events it made are published before the CPU is read. Raises Failed."""
    pids = (shop.service_pids, (shop.sandbox_pid,), shop.database.server_pids(), (load.pid,))
    load.ask({"method": method, "callers": callers, "warm_up_s": WARM_UP_S, "window_s": chosen.seconds})
    load.read()
    before = [sum(map(machine.cpu_s, some)) for some in pids]
    with profile.Profile(shop.service_pids) if chosen.profile else nullcontext() as profiled:
        load.read()
    generator_s = machine.cpu_s(load.pid)
    waiting = shop.outbox()
    result = load.read()
    shop.drain()
    after = [sum(map(machine.cpu_s, some)) for some in pids[:-1]]
    if result["errors"]:
        raise Failed(f"{method} was refused: {result['errors']}")
    used = [now - then for now, then in zip((*after, generator_s), before, strict=True)]
    service_us, sandbox_us, server_us, generator_us = (1e6 * s / max(result["calls"], 1) for s in used)
    return Run(
        shop.settings["SERVER__GRPC_TRANSPORT"],
        method,
        callers,
        result["calls"] / result["seconds"],
        result["p50_ms"],
        result["p99_ms"],
        service_us,
        sandbox_us,
        server_us,
        generator_us,
        waiting,
        profiled.shares() if profiled else None,
    )


if __name__ == "__main__":
    sys.exit(main())
