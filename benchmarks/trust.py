"""Whether the result can be trusted: the table of issue 11, row by row.

    python benchmarks/trust.py                                       # all rows, printed
    python benchmarks/trust.py --rows invented --stacks gear,pcb --size 800
    python benchmarks/trust.py --rows confidence,depth --method select
    python benchmarks/trust.py --before OTHER/bin/python --remember runs/trust.json \
        --write docs/quality.md

`--before` names a Python with an older zfuse: all is measured with it too, and the row `speed` is
the rate beside it, in turns; or a file that `--remember` wrote with that zfuse (`--python`).
`--write` renews the tables between `<!-- trust -->` and its end in the page; rows that were not
asked for are taken from `--remember`. Data that may not be redistributed is scored where
`--shared` has it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import quality_data
import trust_data
from quality import VARIANTS, renew
from quality_memory import has_weights
from quality_peers import enfuse
from quality_scores import pairs, with_truth
from trust_fuse import Fuser
from trust_scores import (
    ECE,
    ROC,
    SUREST,
    bead_brightness,
    channel_scores,
    confidence_scores,
    depth_samples,
)  # fmt: skip
from trust_table import Figure, Row, summary

from zfuse.engines import MODELS
from zfuse.pipeline.evaluation import invented_edges

if TYPE_CHECKING:
    from collections.abc import Callable

    from quality_tables import Scores

SETS = {"simulated": "8 stacks", "unseen": "24 stacks", "relief": "4 rendered reliefs"}


class Bench:
    """What was asked for, the processes that fuse, and what they have already done."""

    def __init__(self, asked: argparse.Namespace, fusers: dict[str, Fuser]) -> None:
        self.asked = asked
        self.data: Path = asked.shared
        self.fusers = fusers
        self.stacks = [name for name in asked.stacks.split(",") if name]
        self._known: dict[tuple[str, str, str], list[Scores]] = {}
        self._pooled: dict[tuple[str, str, str], Scores] = {}

    def truth(self, name: str, method: str) -> dict[str, list[Scores]]:
        """Score a data set with known depth, once for all rows that ask; by fuser."""
        cases = {
            "simulated": quality_data.simulated,
            "unseen": quality_data.unseen,
            "relief": lambda: quality_data.relief(self.data, (1, 2, 3, 4)),
        }[name]
        for who, fuser in self.fusers.items():
            key = (who, name, method)
            if key in self._known:
                continue
            rows, samples = [], []
            for case in cases():
                fused = fuser.fuse(case.planes, how(method))
                samples.append(depth_samples(case, fused))
                own = with_truth(case, fused.image, fused.depth)
                rows.append(own | confidence_scores(*samples[-1]))
            self._known[key] = rows
            error, sure = (np.concatenate(part) for part in zip(*samples, strict=True))
            self._pooled[who, name, method] = confidence_scores(error, sure)
        return {who: self._known[who, name, method] for who in self.fusers}

    def pooled(self, name: str, method: str) -> dict[str, Scores]:
        """Score the confidence of all pixels of a data set at once; by fuser."""
        self.truth(name, method)
        return {who: self._pooled[who, name, method] for who in self.fusers}

    def sets(self) -> list[str]:
        """Return the names of what has a known depth; the reliefs where they lie."""
        return [s for s in SETS if s != "relief" or (self.data / "stacks").is_dir()]


def how(method: str) -> dict[str, Any]:
    """Return settings of a method or of a row of quality.py."""
    return VARIANTS.get(method, {"name": method})


def quantitative(method: str) -> dict[str, Any]:
    """Return settings for measuring, where a method has them."""
    return how(method) | ({"quantitative": True} if how(method)["name"] == "adaptive" else {})


def mean(rows: list[Scores], score: str) -> float:
    """Mean over the cases that have the score."""
    values = [row[score] for row in rows if np.isfinite(row.get(score, np.nan))]
    return float(np.mean(values)) if values else float("nan")


def invented(bench: Bench) -> Row:
    """Edges that no plane has, in per cent, on every real stack."""
    figures, cells = [], []
    for name, planes in trust_data.grey_stacks(bench.data, bench.stacks, bench.asked.size):
        found = {
            who: invented_edges(fuser.fuse(planes, how(bench.asked.method)).image, planes)
            for who, fuser in bench.fusers.items()
        }
        beside = (
            invented_edges(enfuse(planes, "--hard-mask"), planes)
            if shutil.which("enfuse")
            else np.nan
        )
        limit = 0.15 if name in trust_data.MACRO else 0.10
        figures.append(Figure(f"invented edges, {name}, %", found, limit))
        cells.append(
            [
                name,
                *(f"{v:.3f}" for v in found.values()),
                f"{beside:.3f}" if np.isfinite(beside) else "–",
            ]
        )
        print(".", end="", file=sys.stderr, flush=True)
    return Row(figures, ["invented edges, %", *bench.fusers, "enfuse (hard mask)"], cells)


def beads(bench: Bench) -> Row:
    """Brightness of beads, by discs of 2 and 4 px."""
    figures, cells = [], []
    methods = {"as asked": (how(bench.asked.method), 1.5)}
    if bench.asked.method == "adaptive":
        methods |= {"quantitative": (quantitative("adaptive"), 0.5)}
        methods |= {"select": (how("select"), None)}
    for field in trust_data.beads(bench.data):
        for label, (settings, limit) in methods.items():
            scores = {
                who: bead_brightness(field, fuser.fuse(field.planes, settings).image)
                for who, fuser in bench.fusers.items()
            }
            for size in ("2 px", "4 px"):
                values = {who: score[size] for who, score in scores.items()}
                name = bench.asked.method if label == "as asked" else label
                cells.append(
                    [f"{field.name} ({len(field.places)}), {name}", size]
                    + [f"{v:+.2f}" for v in values.values()]
                )
                if limit is not None and size == "4 px":
                    off = {who: abs(v) for who, v in values.items()}
                    figures.append(
                        Figure(f"bead brightness, {field.name}, {name}, ± %", off, limit)
                    )
    return Row(figures, ["brightness of beads, %", "disc", *bench.fusers], cells)


def confidence(bench: Bench) -> Row:
    """Calibration, ranking and the error of the surest, by data set and in the mean.

    Of all pixels of a set at once, because where a handful are wrong a stack's own ranking is
    chance; the means over its stacks stand beside it.
    """
    cells = []
    means: dict[str, dict[str, list[float]]] = {}
    for name in bench.sets():
        pooled = bench.pooled(name, bench.asked.method)
        single = bench.truth(name, bench.asked.method)
        line, each = [SETS[name]], [f"{SETS[name]}, mean of each"]
        for score in (ECE, ROC, SUREST):
            for who in bench.fusers:
                value = pooled[who][score]
                means.setdefault(score, {}).setdefault(who, []).append(value)
                line.append(f"{value:.3f}")
                each.append(f"{mean(single[who], score):.3f}")
        cells += [line, each]
    overall = {s: {w: float(np.mean(v)) for w, v in by.items()} for s, by in means.items()}
    cells.append(
        ["**mean of the sets**", *(f"{v:.3f}" for by in overall.values() for v in by.values())]
    )
    limits = ((ECE, 0.04, True), (ROC, 0.94, False), (SUREST, 1.25, True))
    figures = [Figure(f"confidence, {s}", overall[s], x, at_most=at) for s, x, at in limits]
    head = [f"{s}, {w}" for s in (ECE, ROC, SUREST) for w in bench.fusers]
    return Row(figures, [f"confidence of `{bench.asked.method}`", *head], cells)


def depth(bench: Bench) -> Row:
    """Mean absolute depth error in planes."""
    limits = {"simulated": 0.22, "unseen": 0.25, "relief": 0.08}
    return _of_truth(bench, "depth error", "depth error, planes", bench.sets(), limits, True)


def noisy(bench: Bench) -> Row:
    """SSIM and PSNR of noisy simulated stacks: not less than before, to the digits of the issue."""
    both = []
    for score, limits in (
        ("SSIM", {"simulated": 0.9725, "unseen": 0.9775}),
        ("PSNR dB", {"simulated": 40.75, "unseen": 42.95}),
    ):
        both.append(_of_truth(bench, score, score, ["simulated", "unseen"], limits, False))
    return Row(
        [f for row in both for f in row.figures], both[0].head, both[0].cells + both[1].cells
    )


def _of_truth(
    bench: Bench, score: str, label: str, sets: list[str], limits: dict[str, float], at_most: bool
) -> Row:
    figures, cells = [], []
    for name in sets:
        by_fuser = bench.truth(name, bench.asked.method)
        values = {who: mean(rows, score) for who, rows in by_fuser.items()}
        text = f"{label}, {SETS[name]}"
        figures.append(Figure(text, values, limits[name], at_most=at_most))
        cells.append([text, *(f"{v:.4f}" for v in values.values())])
    return Row(figures, [f"`{bench.asked.method}`", *bench.fusers], cells)


def photographed(bench: Bench) -> Row:
    """MFI-WHU 71 to 80 with the method and with the best network."""
    if not (bench.data / "pairs").is_dir():
        return Row([], ["pairs"], [])
    networks = [n for n in ("pdmnet",) if n in MODELS and has_weights(n)]
    figures, cells = [], []
    for name in dict.fromkeys([bench.asked.method, *networks]):
        limits = (
            {"SSIM": 0.9980, "PSNR dB": 43.0}
            if name in MODELS
            else {"SSIM": 0.9975, "PSNR dB": 40.0}
        )
        scores = {
            who: [
                pairs(case, fuser.fuse(case.planes, how(name)).image, None)
                for case in quality_data.mfi(bench.data, 71)
            ]
            for who, fuser in bench.fusers.items()
        }
        for score, limit in limits.items():
            values = {who: mean(rows, score) for who, rows in scores.items()}
            text = f"MFI-WHU 71 to 80, {name}, {score}"
            figures.append(Figure(text, values, limit, at_most=False))
            cells.append([text, *(f"{v:.4f}" for v in values.values())])
    return Row(figures, ["pairs", *bench.fusers], cells)


def channels(bench: Bench) -> Row:
    """Channels of fluorescence: what each gives in the stack, beside what it gives alone."""
    figures, cells = [], []
    for name, planes in trust_data.channel_stacks(bench.data, bench.stacks):
        settings = how(bench.asked.method)
        by_fuser = {who: f.fuse(planes, settings, channels=True) for who, f in bench.fusers.items()}
        for number in range(planes.shape[1]):
            own = np.ascontiguousarray(planes[:, number])
            scores = {
                who: channel_scores(
                    by_fuser[who].image[number], fuser.fuse(own, settings).image, own
                )
                for who, fuser in bench.fusers.items()
            }
            differ, bright = next(iter(scores.values()))
            text = f"{name}, channel {number}"
            figures.append(
                Figure(f"{text}: {differ}", {w: s[differ] for w, s in scores.items()}, 0)
            )
            cells.append(
                [text, *(f"{s[k]:.3f}" for k in (differ, bright) for s in scores.values())]
            )
    head = [
        f"{s}, {w}"
        for s in ("pixels that differ, %", "bright / best plane's")
        for w in bench.fusers
    ]
    return Row(figures, ["channels", *head], cells)


def speed(bench: Bench) -> Row:
    """Seconds in memory, in turns with the zfuse before; the least of all turns.

    Where others use the machine too, those of all cores are what can be compared.
    """
    if len(bench.fusers) < 2:
        return Row([], ["speed is measured beside another zfuse: give --before PYTHON"], [])
    rng = np.random.default_rng(0)
    tile = quality_data.render_phantom(16, 512, 1500, seed=3).planes
    planes = np.tile(tile, (1, 4, 4)) + rng.integers(0, 3, (16, 2048, 2048), np.uint16)
    least = {who: np.full(2, np.inf) for who in bench.fusers}
    for fuser in bench.fusers.values():
        fuser.keep(planes)
    for turn in range(bench.asked.turns + 1):
        for who, fuser in bench.fusers.items():
            seconds = fuser.seconds(how(bench.asked.method), 2)
            if turn:  # the first one compiles
                least[who] = np.minimum(least[who], seconds)
    figures, cells = [], []
    for number, clock in enumerate(("by the clock", "of all cores")):
        value = {who: float(s[number] / least["before"][number]) for who, s in least.items()}
        figures.append(Figure(f"seconds {clock}, `{bench.asked.method}` / before", value, 1.1))
        cells.append([clock, *(f"{s[number]:.2f}" for s in least.values())])
    return Row(figures, ["seconds for 16 x 2048², 2 threads", *bench.fusers], cells)


ROWS: dict[str, Callable[[Bench], Row]] = {
    "invented": invented, "channels": channels, "beads": beads, "confidence": confidence,
    "depth": depth, "pairs": photographed, "noisy": noisy, "speed": speed,
}  # fmt: skip


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="with commas between; default: all")
    parser.add_argument("--stacks", default="", help="parts of names of real stacks; default: all")
    parser.add_argument("--size", type=int, help="px of the middle, for `invented`; default: all")
    parser.add_argument("--method", default="adaptive", help="or a row of quality.py")
    parser.add_argument("--before", metavar="PYTHON", help="of an older zfuse; or its FILE.json")
    parser.add_argument("--python", default=sys.executable, help="of the zfuse that is measured")
    parser.add_argument("--turns", type=int, default=5, help="of `speed`")
    parser.add_argument("--shared", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--remember", type=Path, metavar="FILE", help="rows of earlier runs")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Markdown page to renew")
    asked = parser.parse_args()

    chosen = [name for name in asked.rows.split(",") if name]
    if unknown := set(chosen) - set(ROWS):
        sys.exit(f"no row {', '.join(sorted(unknown))}; there are: {', '.join(ROWS)}")
    pythons, earlier = {"now": asked.python}, {}
    if asked.before and asked.before.endswith(".json"):
        earlier = json.loads(Path(asked.before).read_text(encoding="utf-8"))
    elif asked.before:
        pythons["before"] = asked.before
    known: dict[str, Any] = {}
    if asked.remember and asked.remember.exists():
        known = json.loads(asked.remember.read_text(encoding="utf-8"))
    with ExitStack() as processes:
        fusers = {who: processes.enter_context(Fuser(python)) for who, python in pythons.items()}
        bench = Bench(asked, fusers)
        for name in chosen:
            begun = time.perf_counter()
            row = ROWS[name](bench)
            if name in earlier:
                row = row.beside(Row.of_json(earlier[name]))
            known[name] = row.as_json()
            print(f"\n## {name} ({time.perf_counter() - begun:.0f} s)\n{row.table()}\n", flush=True)
            print(summary([row]), flush=True)
            if asked.remember:
                asked.remember.parent.mkdir(parents=True, exist_ok=True)
                asked.remember.write_text(json.dumps(known, indent=1), encoding="utf-8")
    if asked.write:
        rows = [Row.of_json(known[name]) for name in ROWS if name in known]
        tables = [row.table() for row in rows if row.cells]
        renew(asked.write, {"trust": "\n\n".join([summary(rows), *tables])})


if __name__ == "__main__":
    main()
