"""`python -m bench`: orders per second, compared with a bare loop on the same disk in the same minute.

`--against CHECKOUT`: the code of another checkout and ours by turns, in every round.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from bench import counting, databases, machine, profile, report
from bench.notices import SIGNED
from bench.report import NEW, OLD, Results, Run
from bench.shop import Failed, Generator, Shop

CALLERS = (1, 16, 32)
TRANSPORTS = ("grpcio", "native")
CACHED_METHODS = ("GetOrder (cached)",)  # orders are cached only in a shared cache
OTHER_METHODS = ("GetOrder", "ListOrders", "CheckReservations")
PAY_METHODS = (
    *(f"PayOrder ({channel})" for channel in ("alipay", "wechat", "balance")),
    *(f"NotifyPayment ({channel})" for channel in ("alipay", "wechat")),  # the wallet sends its own messages
    *SIGNED,  # the balance last: from then on the sandbox's wallet is silent
)
COMPARED_METHODS = ("GetOrder", "ListOrders", "PayOrder (alipay)", "NotifyPayment (alipay)")
COMPARED_CALLERS = 32
CONCURRENCY = 16  # orders per commit of the batched bare loop; callers of the other methods
IDLE_S = 2.0
WARM_UP_S = 1.0
NOTICES_WARM_UP_S = 0.05  # there are as many as were paid, and they are fast
PREPARED_PER_SECOND = 1_000  # unpaid orders, or signed notices, for each second of a run that uses them up


def main() -> int:
    """Run the benchmark. Exit code: 0, or 1 after one line with the error."""
    chosen = arguments()
    chosen.dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=chosen.dir))
    try:
        results = measure(folder, chosen)
    except (machine.NotOnDisk, counting.CountMismatch, Failed) as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 1
    finally:
        if not chosen.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(report.as_text(results))
    if chosen.profile:
        print(f"\n{report.profiles(results)}")
    path = chosen.json or Path(__file__).parent / "results" / f"{time.strftime('%Y%m%d-%H%M%S')}.local.json"
    report.write(path, results)
    print(f"written to {path}")
    return 0


def arguments() -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round of short runs")
    parser.add_argument("--rounds", type=int, help="number of rounds (default 5)")
    parser.add_argument("--seconds", type=float, help="duration of a run (default 4)")
    parser.add_argument(
        "--callers", type=int, nargs="+", help="of CreateOrder; default 1 16 32, with --against 32"
    )
    parser.add_argument(
        "--transports", nargs="+", default=list(TRANSPORTS), help="gRPC transports; default grpcio native"
    )
    parser.add_argument(
        "--dir", type=Path, default=Path("data"), help="folder of the databases, on a real disk"
    )
    parser.add_argument("--json", type=Path, help="result file")
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
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="compare with the code there, on SQLite"
    )
    parser.add_argument("--profile", action="store_true", help="sample the CPU use; needs perf")
    parser.add_argument("--keep", action="store_true", help="keep databases and logs")
    chosen = parser.parse_args()
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 5)
    chosen.seconds = chosen.seconds or (2.0 if chosen.quick else 4.0)
    chosen.callers = chosen.callers or ([COMPARED_CALLERS] if chosen.against else list(CALLERS))
    if chosen.against and chosen.db != databases.SQLITE:
        parser.error("--against needs sqlite: other code has other tables")
    return chosen


def measure(folder: Path, chosen: argparse.Namespace) -> Results:
    """Run all rounds. Raises NotOnDisk, CountMismatch, Failed."""
    kind = machine.require_disk(folder)
    results = Results(machine.describe(kind), chosen.seconds)
    codes = (OLD, NEW) if chosen.against else ("",)
    kinds = [(transport, code) for transport in chosen.transports for code in codes]
    for number in range(chosen.rounds):
        last = number == chosen.rounds - 1
        for transport, code in kinds[:: -1 if number % 2 else 1]:  # alternate which one is first
            round_dir = folder / f"{number}-{transport}{code}"
            round_dir.mkdir()
            database = databases.database(chosen.db, round_dir)
            settings = dict(setting.split("=", 1) for setting in chosen.set)
            settings["SERVER__GRPC_TRANSPORT"] = transport
            shop = Shop(round_dir, database, settings, chosen.against if code == OLD else None)
            try:
                if code:
                    run_compared_round(shop, code, chosen, results, last=last)
                    continue
                if len(results.fdatasync_us) == number:
                    measure_bare_loop(database, round_dir, chosen, results)
                run_round(shop, chosen, results, last=last)
            finally:
                if not chosen.keep:
                    database.drop()
        print(f"round {number + 1} of {chosen.rounds} done", file=sys.stderr)
    return results


def measure_bare_loop(
    database: databases.Database, folder: Path, chosen: argparse.Namespace, results: Results
) -> None:
    """Measure disk and database without a service, for this round."""
    results.database = database.name
    results.fdatasync_us.append(machine.fdatasync_us(folder))
    for per_commit in (1, CONCURRENCY):
        rate, us = database.bare(per_commit, chosen.seconds / 2)
        results.bare.setdefault(per_commit, []).append(rate)
        results.bare_us.setdefault(per_commit, []).append(us)


def run_round(shop: Shop, chosen: argparse.Namespace, results: Results, *, last: bool) -> None:
    """Drive a fresh service and sandbox with 1, 16 and 32 callers, then count the rows."""
    with shop:
        results.first_start_s.append(shop.start_s)
        shop.stop_service()
        shop.start_service()
        results.start_s.append(shop.start_s)
        time.sleep(IDLE_S)
        results.rest_mib.append(sum(map(machine.resident_mib, shop.service_pids)))
        cached = CACHED_METHODS if "CACHE__URL" in shop.settings else ()
        runs = measure_methods(shop, (*cached, *OTHER_METHODS, *PAY_METHODS) if last else (), chosen)
        results.busy_mib.append(sum(map(machine.resident_mib, shop.service_pids)))
    results.runs += runs
    results.counted += count_rows(shop, runs)


def run_compared_round(
    shop: Shop, code: str, chosen: argparse.Namespace, results: Results, *, last: bool
) -> None:
    """Drive a fresh service and sandbox of this code, then count the rows; at last all our ways to pay."""
    more = [one for one in PAY_METHODS if one not in COMPARED_METHODS] if last and code == NEW else ()
    with shop:
        runs = measure_methods(shop, (*COMPARED_METHODS, *more), chosen)
    results.runs += [replace(run, code=code) for run in runs]
    results.counted += count_rows(shop, runs)


def measure_methods(shop: Shop, methods: Sequence[str], chosen: argparse.Namespace) -> list[Run]:
    """Measure CreateOrder with each number of callers, then the other methods."""
    kinds = [("CreateOrder", callers) for callers in chosen.callers]
    kinds += [(method, CONCURRENCY) for method in methods]
    with Generator(shop) as load:
        return [measure_method(shop, load, method, callers, chosen) for method, callers in kinds]


def count_rows(shop: Shop, runs: Sequence[Run]) -> int:
    """Compare the database with the answers; return the number of orders. Raises CountMismatch."""
    notices = sum(run.answered for run in runs if is_notice(run.method))
    return counting.compare(shop.database, shop.answers, notices)


def is_notice(method: str) -> bool:
    """Whether each call of the method pays an order."""
    return method.startswith("NotifyPayment") or method in SIGNED


def measure_method(shop: Shop, load: Generator, method: str, callers: int, chosen: argparse.Namespace) -> Run:
    """Measure one run; reads the CPU time after its events were published. Raises Failed."""
    pids = (shop.service_pids, (shop.sandbox_pid,), shop.database.server_pids(), (load.pid,))
    warm_up_s = NOTICES_WARM_UP_S if is_notice(method) else WARM_UP_S
    if method.startswith("PayOrder") or method in SIGNED:
        orders = round(PREPARED_PER_SECOND * (warm_up_s + chosen.seconds))
        load.send({"kind": method, "orders": orders, "callers": callers})
        if errors := load.read()["errors"]:
            raise Failed(f"the orders for {method} were refused: {errors}")
        shop.drain()
    load.send({"kind": method, "callers": callers, "warm_up_s": warm_up_s, "window_s": chosen.seconds})
    load.read()
    before = [sum(map(machine.cpu_s, some)) for some in pids]
    with profile.Profile(shop.service_pids) if chosen.profile else nullcontext() as profiler:
        load.read()
    generator_s = machine.cpu_s(load.pid)
    waiting = shop.outbox()
    result = load.read()
    shop.drain()
    after = [sum(map(machine.cpu_s, some)) for some in pids[:-1]]
    if result["errors"]:
        raise Failed(f"{method} was refused: {result['errors']}")
    if not result["calls"]:
        raise Failed(f"{method}: there was nothing to call")
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
        result["answered"],
        profiler.shares() if profiler else None,
    )


if __name__ == "__main__":
    sys.exit(main())
