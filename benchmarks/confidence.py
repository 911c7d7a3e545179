"""Confidence as a probability: fits the numbers in `trust.json`, or says how well they do.

    python benchmarks/confidence.py                       # score what is there on held-out stacks
    python benchmarks/confidence.py --fit                 # fit all kinds, write the numbers
    python benchmarks/confidence.py --fit --kinds adaptive --stacks 300

Stacks are those of `confidence_stacks.py`; every fifth is held out, and scored as
`zfuse evaluate` scores: calibration error, area under ROC, and the error of the surest 80 % by that
of the best 80 %. Fitting needs torch, and takes about eight minutes on two cores.

What is fitted is the network of `zfuse.kernels.probability`, by the likelihood of a cumulative link
model (McCullagh, Regression models for ordinal data, J. R. Stat. Soc. B 42, 1980): one score for
all thresholds of the depth's error, so that confidence also ranks errors far below a plane; the
threshold of one plane counts as much as four others, and its probability is what is kept. Where
nothing has a depth, any plane is as likely as the other.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from confidence_stacks import training_stack

import zfuse
from zfuse.files import replacing
from zfuse.pipeline.evaluation import calibration_error, ranking, surest_error
from zfuse.pipeline.methods.parts import Trust

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = Path(__file__).parents[1] / "pipeline" / "methods" / "parts" / "trust.json"
METHODS = {
    "adaptive": "adaptive", "select": "select", "peak": "laplacian", "umis": "umis",
    "pdmnet": "pdmnet",
}  # fmt: skip
SLOW = {"umis": 150, "pdmnet": 150}  # networks: the first so many stacks, of at most so many planes
MOST_PLANES = 24
THRESHOLDS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.5, 5.0)  # planes
ONE = THRESHOLDS.index(1.0)
HIDDEN = {"adaptive": 12, "select": 6}  # others 8
OTHERS = 2.0  # what the other thresholds count beside that of one plane: they make the ranking
STEPS, BATCH = 2500, 4096
LEAST = 1e-3  # of significance: nothing stands out
MISSED = 0.25  # of the pixels: the sample of their stack missed what they show
PIXELS = 3000  # of a stack
SEED = 11


class Sample(NamedTuple):
    """Pixels of one stack: evidence (N, F), its own figures (S,), errors (N,) in planes or NaN."""

    number: int
    planes: int
    evidence: NDArray[np.float32]
    stack: NDArray[np.float64]
    error: NDArray[np.float32]
    silent: NDArray[np.bool_]


def collect(number: int, kinds: tuple[str, ...]) -> dict[str, Sample]:
    """Fuse a stack by every kind of method, and keep some pixels of what its depth goes by."""
    made = training_stack(number)
    chosen = np.random.default_rng((SEED, number)).permutation(made.depth[::2, ::2].size)[:PIXELS]
    samples = {}
    for kind in kinds:
        if kind in SLOW and (number >= SLOW[kind] or len(made.planes) > MOST_PLANES):
            continue
        seen: list[tuple[Any, Any]] = []

        def record(trust: Trust, evidence: Any, seen: Any = seen) -> Any:
            seen.append((trust, evidence))
            return np.zeros(evidence.shape, np.float32)

        usual, Trust.probability = Trust.probability, record  # type: ignore[method-assign]
        try:
            fused = zfuse.fuse(made.planes, METHODS[kind])
        finally:
            Trust.probability = usual  # type: ignore[method-assign]
        ((trust, evidence),) = seen
        error = np.abs(fused.depth - made.depth)[::2, ::2]
        planes = evidence.planes()[:, : error.shape[0], : error.shape[1]]  # networks see more
        features = planes.reshape(len(planes), -1).T[chosen]
        peaks = len(evidence.clues.depths)
        silent = features[:, peaks : 2 * peaks].max(1) < LEAST
        samples[kind] = Sample(
            number, len(made.planes), features, np.array(trust.stack), error.ravel()[chosen], silent
        )
    return samples


def labels(sample: Sample) -> NDArray[np.float32]:
    """Return whether errors are within each threshold (N, T); by chance where there is no truth."""
    limits = np.array(THRESHOLDS, np.float32)
    within = (sample.error[:, None] <= limits).astype(np.float32)
    chance = np.minimum(1, 2 * limits / max(sample.planes - 1, 1))
    within[np.isnan(sample.error)] = chance
    return within


def fit(samples: list[Sample], size: int) -> dict[str, Any]:
    """Fit the numbers of one kind: a network of so many sums."""
    import torch

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    evidence = torch.tensor(np.stack([s.evidence for s in samples]))  # (K, N, F)
    stacks = np.stack([s.stack for s in samples])
    middle, spread = stacks.mean(0), stacks.std(0) + 1e-2
    stack = torch.tensor((stacks - middle) / spread, dtype=torch.float32)
    within = torch.tensor(np.stack([labels(s) for s in samples]))
    mean, deviation = evidence.mean((0, 1)), evidence.std((0, 1)) + 1e-2
    local = torch.nn.Linear(evidence.shape[2], size)
    whole = torch.nn.Linear(stack.shape[1], size, bias=False)
    torch.nn.init.normal_(whole.weight, std=0.02)
    out = torch.nn.Linear(size, 1, bias=False)
    levels = torch.nn.Parameter(torch.linspace(-1.5, 1.5, len(THRESHOLDS)))
    slopes = torch.nn.Parameter(torch.zeros(len(THRESHOLDS)))
    weight = torch.full((len(THRESHOLDS),), OTHERS / (len(THRESHOLDS) - 1))
    weight[ONE] = 1.0
    groups = [
        {"params": [*local.parameters(), *out.parameters(), levels, slopes], "weight_decay": 1e-4},
        {"params": whole.parameters(), "weight_decay": 3e-2},
    ]
    optimiser = torch.optim.AdamW(groups, lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.5e-2, STEPS)
    count, pixels = evidence.shape[:2]
    for _ in range(STEPS):
        which = torch.from_numpy(rng.integers(count, size=BATCH))
        pixel = torch.from_numpy(rng.integers(pixels, size=BATCH))
        x = (evidence[which, pixel] - mean) / deviation
        known = stack[which]
        missed = torch.from_numpy(rng.random(BATCH) < MISSED)
        others = torch.from_numpy(rng.integers(count, size=BATCH))
        known[missed, 1:] = stack[others[missed], 1:]  # all but the number of planes
        score = out(torch.relu(local(x) + whole(known)))
        t = levels + torch.exp(slopes) * score
        p = (0.5 + 0.5 * t / torch.sqrt(1 + t * t)).clamp(1e-6, 1 - 1e-6)
        loss = torch.nn.functional.binary_cross_entropy(p, within[which, pixel], reduction="none")
        loss = (loss.mean(0) * weight).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        hidden = local.weight / deviation
        by_stack = whole.weight.numpy() / spread
        bias = (local.bias - hidden @ mean).numpy() - by_stack @ middle
        weights = out.weight[0] * torch.exp(slopes[ONE])
    return {
        "hidden": _rounded(hidden.numpy()),
        "stack": _rounded(by_stack),
        "bias": _rounded(bias),
        "weights": _rounded(weights.numpy()),
        "last": _rounded(levels[ONE].item()),
    }


def _rounded(values: Any) -> Any:
    return json.loads(json.dumps(np.asarray(values, np.float64).tolist()), parse_float=_digits)


def _digits(text: str) -> float:
    return float(f"{float(text):.5g}")


def predict(numbers: dict[str, Any], sample: Sample) -> NDArray[np.float64]:
    """Return what the numbers say of a sample, as `Trust` does."""
    bias = np.array(numbers["bias"]) + np.array(numbers["stack"]) @ sample.stack
    hidden = np.maximum(sample.evidence @ np.array(numbers["hidden"]).T + bias, 0)
    t = hidden @ np.array(numbers["weights"]) + numbers["last"]
    return np.where(sample.silent, 0, 0.5 + 0.5 * t / np.sqrt(1 + t * t))


def scores(numbers: dict[str, Any], samples: list[Sample]) -> dict[str, float]:
    """Return mean scores over stacks, of pixels that have a depth."""
    rows = []
    for sample in samples:
        known = np.isfinite(sample.error)
        if known.sum() < PIXELS // 10:
            continue
        sure, error = predict(numbers, sample)[known], sample.error[known]
        best = max(surest_error(-error, error), 1e-3)
        right = error <= 1
        # The area says little where hardly a pixel is wrong.
        area = ranking(sure, right) if 0.002 < right.mean() < 0.998 else np.nan
        rows.append(
            (calibration_error(sure, right), area, surest_error(sure, error) / best, right.mean())
        )
    names = "calibration error", "area under ROC", "surest 80 % / oracle's", "right"
    values = (
        *np.nanmean(rows, 0)[:2],
        np.median([r[2] for r in rows]),
        np.mean([r[3] for r in rows]),
    )
    return dict(zip(names, (round(float(v), 4) for v in values), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--kinds", default=",".join(METHODS))
    parser.add_argument("--stacks", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    kinds = tuple(asked.kinds.split(","))
    start = time.perf_counter()
    numbers = range(asked.stacks) if asked.fit else range(4, asked.stacks, 5)
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        made = list(pool.map(collect, numbers, [kinds] * len(numbers), chunksize=4))
    print(f"{len(made)} stacks in {time.perf_counter() - start:.0f} s")
    kept: dict[str, Any] = json.loads(NUMBERS.read_text("utf-8")) if NUMBERS.exists() else {}
    for kind in kinds:
        samples = [of[kind] for of in made if kind in of]
        held_out = [s for s in samples if s.number % 5 == 4]
        if asked.fit:
            found = fit([s for s in samples if s.number % 5 != 4], HIDDEN.get(kind, 8))
            last = min(asked.stacks, SLOW.get(kind, asked.stacks)) - 1
            about = {
                "data": f"benchmarks/confidence_stacks.py 0 to {last} but every fifth",
                "seed": SEED,
                "held out": scores(found, held_out),
            }
            kept[kind] = about | found
        print(f"{kind}: {scores(kept[kind], held_out)}")
    if asked.fit:
        with replacing(NUMBERS) as file:
            file.write_text(_laid_out(kept), "utf-8")
    print(f"{time.perf_counter() - start:.0f} s")


def _laid_out(kept: dict[str, Any]) -> str:
    """Return JSON with a row of numbers a line."""
    lines = []
    for kind in sorted(kept):
        entries = []
        for key, value in kept[kind].items():
            if isinstance(value, list) and isinstance(value[0], list):
                rows = ",\n   ".join(json.dumps(row) for row in value)
                entries.append(f'  "{key}": [\n   {rows}\n  ]')
            else:
                entries.append(f'  "{key}": {json.dumps(value)}')
        lines.append(f' "{kind}": {{\n' + ",\n".join(entries) + "\n }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
