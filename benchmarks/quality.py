"""How good the fused images are: all methods and their peers on all data, in one run.

    python benchmarks/quality.py                                  # everything, printed
    python benchmarks/quality.py --data simulated,halo --methods adaptive,select
    python benchmarks/quality.py --shinestacker PEERS/bin/python --remember runs/quality \
        --write docs/quality.md

`--write` renews the tables between their marks in the text, and the pictures beside it; with
`--remember` only what changed since is computed. Data that may not be redistributed is scored where
`--shared` has it; pictures show simulated stacks only. Slow networks are left out of long data sets
(`--slow` takes them in). Peers and how to install them: quality_peers.py.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import time
from datetime import date
from functools import cache, partial
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from quality_memory import Memory, case_key, has_weights, joined, method_key, peer_key, weights_key
from quality_peers import installed, remembered
from quality_sets import PUBLISHED, SINGLE, data_sets
from quality_tables import markdown
from quality_targets import COPIED, NETWORKS, OURS

import zfuse
from zfuse.engines import MODELS, load
from zfuse.pipeline import evaluation as metrics
from zfuse.pipeline.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from quality_data import Case
    from quality_peers import Peer
    from quality_sets import DataSet
    from quality_tables import Results, Scores

    Fused = tuple[NDArray[Any], NDArray[Any] | None]

VARIANTS: dict[str, dict[str, Any]] = {
    "adaptive (quantitative)": {"name": "adaptive", "quantitative": True},
    "select (smooth 2)": {"name": "select", "smooth": 2},
    "umis (feather 0)": {"name": "umis", "feather": 0},
    "fusion2void (cascade)": {"name": "fusion2void", "order": "cascade"},
    "fusionnet (cascade)": {"name": "fusionnet", "order": "cascade"},
}


@cache
def methods() -> dict[str, dict[str, Any]]:
    """Return zfuse's rows: the default first, networks that have weights last."""
    rows = {OURS if n == "adaptive" else n: {"name": n} for n in METHODS} | VARIANTS
    there = {name for name in METHODS if has_weights(name)}
    order = sorted(rows, key=lambda row: (rows[row]["name"] in NETWORKS, row.strip("*")))
    return {row: rows[row] for row in order if rows[row]["name"] in there}


def fuse(case: Case, method: dict[str, Any]) -> Fused:
    """Fuse with zfuse; RGB comes back as (Y, X, 3)."""
    fused = zfuse.fuse(case.stack(), method)
    image = np.moveaxis(fused.image, 0, -1) if fused.image.ndim == 3 else fused.image
    return image, fused.depth


def references(case: Case) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield what the truth knows best, the pixel of the true depth and the best single plane."""
    if case.copied is not None:
        yield COPIED, case.copied
    if case.image is not None and len(case.planes) > 2:
        top = float(np.iinfo(case.planes.dtype).max)
        scores = [metrics.psnr(p[case.inner], case.image, data_range=top) for p in case.planes]
        yield SINGLE, case.planes[int(np.argmax(scores))]
    if case.published is not None:
        yield PUBLISHED, case.published


def measure(
    data_set: DataSet, wanted: list[str], peers: list[Peer], folder: Path | None, slow: bool
) -> tuple[list[str], Results]:
    """Fuse and score every case with every method."""
    results: Results = {}
    names = []
    memory = Memory(folder)
    ours = {n: how for n, how in methods().items() if _asked(n, wanted) and data_set.shows(n)}
    left_out = [n for n in ours if n in data_set.costly and not slow]
    for case in data_set.cases():
        names.append(case.name)
        rows: list[tuple[str, str, Callable[[], Fused]]] = [
            (name, _key_of(how), partial(fuse, case, how))
            for name, how in ours.items()
            if name not in left_out
        ]
        rows += [
            (p.name, peer_key(), partial(_fuse_with, p, case, folder))
            for p in peers
            if data_set.shows(p.name)
        ]
        rows += [
            (name, peer_key(), lambda image=image: (image, None))
            for name, image in references(case)
        ]
        for name in left_out:
            results.setdefault(name, [])
        same = joined((data_set.score.__name__, case_key(case)))
        for name, version, make in rows:
            scores = results.setdefault(name, [{}] * (len(names) - 1))
            compute = partial(_scores, data_set, case, make)
            scores.append(memory.scores(joined((same, name, version)), compute))
        for scores in results.values():  # what no truth allows here
            scores += [{}] * (len(names) - len(scores))
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return names, {name: results[name] for name in sorted(results, key=_place(ours, peers))}


def _scores(data_set: DataSet, case: Case, make: Callable[[], Fused]) -> Scores:
    return data_set.score(case, *make())


def _fuse_with(peer: Peer, case: Case, folder: Path | None) -> Fused:
    return remembered(peer, case.planes, folder), None


def _place(ours: dict[str, Any], peers: list[Peer]) -> Callable[[str], int]:
    """Return where a row stands: our methods, peers, references."""
    order = [*ours, *(peer.name for peer in peers), COPIED, SINGLE, PUBLISHED]
    return order.index


def _key_of(how: dict[str, Any]) -> str:
    """Return what stands for a method: settings, code and weights."""
    name = how["name"]
    return joined((sorted(how.items()), method_key(METHODS[name].module), weights_key(name)))


def _asked(name: str, wanted: list[str]) -> bool:
    return not wanted or name.strip("*") in wanted


def machine(versions: dict[str, str]) -> str:
    """Return one line: when, where, with what."""
    model = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    programs = {"zfuse": zfuse.__version__, "NumPy": np.__version__, **versions}
    if methods().keys() & set(NETWORKS):
        for network in MODELS.values():
            chosen = load(network.graphs[0], precision="auto").resolved()
            programs[f"{network.name} on {chosen.runner} in {chosen.precision}"] = metadata.version(
                chosen.runner
            )
    programs["Python"] = platform.python_version()
    return (
        f"Measured on {date.today():%Y-%m-%d}, {platform.system()}, {len(model)} cores of "
        f"{model[0] if model else platform.processor()}. Versions: "
        + ", ".join(f"{name} {version}" for name, version in programs.items())
        + "."
    )


def renew(page: Path, blocks: dict[str, str]) -> None:
    """Replace what stands between the marks of each block."""
    text = page.read_text(encoding="utf-8")
    for name, block in blocks.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if begin not in text:
            sys.exit(f"{page} has no {begin}: add it and {end} where the table belongs")
        before, rest = text.split(begin, 1)
        text = f"{before}{begin}\n\n{block}\n\n{end}{rest.split(end, 1)[1]}"
    page.write_text(text, encoding="utf-8")


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="", help="data sets, with commas between; default: all")
    parser.add_argument("--methods", default="", help="methods, with commas between; default: all")
    parser.add_argument("--shared", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--shinestacker", metavar="PYTHON", help="Python that has shinestacker")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--focus-stack", type=Path, metavar="FOLDER", help="its examples/pcb")
    parser.add_argument("--slow", action="store_true", help="slow networks on long data sets too")
    parser.add_argument("--remember", type=Path, metavar="FOLDER", help="compute what changed only")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="Markdown page to renew")
    asked = parser.parse_args()

    for entry in METHODS.values():  # all loaded now: the tree may be edited while this runs
        import_module(entry.module)
    sets = data_sets(asked.shared, asked.focus_stack)
    chosen = [name for name in asked.data.split(",") if name] or list(sets)
    if unknown := set(chosen) - set(sets):
        sys.exit(f"no data set {', '.join(unknown)}; there are: {', '.join(sets)}")
    wanted = [name for name in asked.methods.split(",") if name]
    peers, versions = ([], {}) if asked.no_peers else installed(asked.shinestacker)
    blocks = {"machine": machine(versions)}
    print(blocks["machine"])
    for name in chosen:
        start = time.perf_counter()
        names, results = measure(sets[name], wanted, peers, asked.remember, asked.slow)
        blocks[name] = markdown(sets[name], names, results)
        seconds = time.perf_counter() - start
        print(f"\n## {sets[name].title} ({name}, {seconds:.0f} s)\n{blocks[name]}", flush=True)
    if asked.write:
        from quality_pictures import draw_all

        renew(asked.write, blocks)
        draw_all(asked.write.with_suffix(""), peers)


if __name__ == "__main__":
    main()
