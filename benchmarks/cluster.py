"""How far one driver reaches: Dask's scheduler under the load of 1,000 workers; a model of runs.

    python benchmarks/cluster.py load --workers 1000 --seconds 10 --tasks 6000
    python benchmarks/cluster.py model --tasks 2401 --seconds 7.5 --gigabytes 0.168 --workers 1000

``load`` is a measurement: scheduler and client in one process, as a run has them, and as many real
Dask workers as asked for, in a second process, whose tasks only sleep and then answer like a tile.
Tasks go through the same waves as a run's. CPU time is the first process's alone.

``model`` is a calculation, event by event: workers that take tasks of such lengths (spread about
the mean as was measured), a driver that serves one task after another, a storage that serves so
many GB/s, workers that come when the queue lets them and die now and then. It says how long the
run takes, and how busy driver and storage are: whichever comes near 100 % breaks first.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import itertools
import logging
import multiprocessing
import os
import random
import tempfile
import time
from dataclasses import dataclass

import dask
import psutil

from zfuse.pipeline.cluster import Task, in_waves

FILES = 12  # of a tile: four levels of image, depth and confidence
SETTLED = 4000  # bytes that every task brings along


async def fake(seconds: float, settled: bytes, number: int) -> dict[str, tuple[int, int]]:
    """Sleep, and answer as a tile does: each file's bytes and checksum."""
    await asyncio.sleep(seconds)
    return {f"depth/{i}/c/0/0/{number}/{len(settled)}": (123456, 2**31 + i) for i in range(FILES)}


def host(address: str, count: int) -> None:
    """Be so many workers in one process."""
    from distributed import Worker

    async def stay() -> None:
        # A process has one system monitor; here there would be one for each worker.
        dask.config.set({"distributed.admin.system-monitor.interval": "1h"})
        folder = tempfile.mkdtemp()
        workers = []
        for first in range(0, count, 50):
            some = [
                Worker(
                    address, nthreads=1, name=str(i), memory_limit=0, dashboard=False,
                    local_directory=folder,
                )
                for i in range(first, min(first + 50, count))
            ]  # fmt: skip
            workers += await asyncio.gather(*some)
        await asyncio.gather(*(worker.finished() for worker in workers))

    logging.getLogger("distributed").setLevel(logging.ERROR)
    asyncio.run(stay())


def load(workers: int, seconds: float, tasks: int, wave: int) -> None:
    dask.config.set({"distributed.worker.profile.enabled": False})
    from distributed import Client, LocalCluster

    me = psutil.Process()
    with (
        LocalCluster(n_workers=0, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        process = multiprocessing.get_context("spawn").Process(
            target=host, args=(cluster.scheduler_address, workers), daemon=True
        )
        process.start()
        client.wait_for_workers(workers, timeout=300)
        idle = me.cpu_times().user + me.cpu_times().system
        time.sleep(10)
        idle = (me.cpu_times().user + me.cpu_times().system - idle) / 10
        print(f"{workers} workers idle: driver's CPU {idle:.1%}, {_megabytes(me)} MB", flush=True)
        numbers = iter(range(tasks))
        settled = os.urandom(SETTLED)

        def more(room: int) -> list[Task]:
            return [
                Task("tile", fake, (seconds, settled, i)) for i in itertools.islice(numbers, room)
            ]

        begun, busy, at = time.perf_counter(), _cpu(me), 0
        for at, _ in enumerate(in_waves(client, more, wave=wave * workers, retries=3), 1):
            if at % max(1, tasks // 6) == 0 and at < tasks:
                took, cpu = time.perf_counter() - begun, _cpu(me) - busy
                print(
                    f"{at} tasks: {at / took:.0f} a second, driver's CPU {cpu / took:.0%}, "
                    f"{cpu / at * 1e3:.2f} ms a task, {_megabytes(me)} MB",
                    flush=True,
                )
        took, cpu = time.perf_counter() - begun, _cpu(me) - busy
        print(
            f"{at} tasks in {took:.1f} s, ideal {tasks / workers * seconds:.1f} s; "
            f"{cpu / at * 1e3:.2f} ms a task, peak {_megabytes(me)} MB"
        )
        process.terminate()
        process.join()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _megabytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss // 10**6)


@dataclass
class Modelled:
    """One run of the model: hours, and shares of that time."""

    wall: float
    workers_busy: float
    driver_busy: float
    storage_busy: float
    repeated: int


def modelled(
    tasks: int,
    workers: int,
    *,
    seconds: float,
    spread: float,
    gigabytes: float,
    storage: float,
    driver: float,
    arrive: float,
    dies: float,
    seed: int = 0,
) -> Modelled:
    """Go through one run, event by event.

    Parameters
    ----------
    tasks, workers
        How many.
    seconds, spread
        Of a task: mean, and standard deviation as a part of it (log-normal).
    gigabytes, storage
        That a task reads and writes, and that the storage serves in a second.
    driver
        Seconds of the driver for a task.
    arrive
        Seconds until the last worker has come.
    dies
        Seconds that a worker lives on average; another comes a minute later.
    """
    rng = random.Random(seed)
    sigma = spread
    worked = told = stored = 0.0
    storage_free = driver_free = now = 0.0
    left, flying, repeated = tasks, 0, 0
    order = itertools.count()
    events: list[tuple[float, int, str]] = [
        (arrive * i / workers, next(order), "free") for i in range(workers)
    ]
    heapq.heapify(events)
    last = 0.0
    while events:
        now, _, what = heapq.heappop(events)
        if what == "done":
            flying -= 1
            driver_free = max(driver_free, now) + driver
            told += driver
            last = max(last, driver_free)
            # The next task waits at the worker already, unless the driver is behind.
            behind = driver_free - now
            now += max(0.0, behind - seconds)
            what = "free"
        elif what == "died":
            flying -= 1
            left += 1
            repeated += 1
            heapq.heappush(events, (now + 60, next(order), "free"))
            continue
        if not left:
            continue
        left -= 1
        flying += 1
        computed = seconds * rng.lognormvariate(-sigma * sigma / 2, sigma)
        storage_free = max(storage_free, now) + gigabytes / storage
        stored += gigabytes / storage
        ends = max(now + computed, storage_free)
        worked += ends - now
        life = rng.expovariate(1 / dies) if dies else float("inf")
        if now + life < ends:
            heapq.heappush(events, (now + life, next(order), "died"))
        else:
            heapq.heappush(events, (ends, next(order), "done"))
    return Modelled(last, worked / (last * workers), told / last, stored / last, repeated)


def model(args: argparse.Namespace) -> None:
    print("| workers | wall time | workers busy | driver | storage | tasks done twice |")
    print("|---|---|---|---|---|---|")
    for workers in args.workers:
        run = modelled(
            args.tasks, workers, seconds=args.seconds, spread=args.spread,
            gigabytes=args.gigabytes, storage=args.storage, driver=args.driver / 1e3,
            arrive=args.arrive * 60, dies=args.dies * 3600,
        )  # fmt: skip
        wall = f"{run.wall / 3600:.1f} h" if run.wall > 7200 else f"{run.wall / 60:.1f} min"
        print(
            f"| {workers} | {wall} | {run.workers_busy:.0%} | {run.driver_busy:.1%} | "
            f"{run.storage_busy:.0%} | {run.repeated} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    real = commands.add_parser("load")
    real.add_argument("--workers", type=int, default=1000)
    real.add_argument("--seconds", type=float, default=10)
    real.add_argument("--tasks", type=int, default=6000)
    real.add_argument("--wave", type=int, default=3, help="tasks at the scheduler, a worker")
    paper = commands.add_parser("model")
    paper.add_argument("--tasks", type=int, required=True)
    paper.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    paper.add_argument("--seconds", type=float, required=True, help="mean of a task")
    paper.add_argument("--spread", type=float, default=0.1, help="of a task, part of the mean")
    paper.add_argument("--gigabytes", type=float, required=True, help="read and written a task")
    paper.add_argument("--storage", type=float, default=10, help="GB/s of the file system")
    paper.add_argument("--driver", type=float, default=2.5, help="ms of the driver a task")
    paper.add_argument("--arrive", type=float, default=10, help="minutes till all workers came")
    paper.add_argument("--dies", type=float, default=100, help="hours that a worker lives, mean")
    args = parser.parse_args()
    if args.command == "load":
        load(args.workers, args.seconds, args.tasks, args.wave)
    else:
        model(args)


if __name__ == "__main__":
    main()
