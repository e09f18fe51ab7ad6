"""Seconds and memory of clustering against the number of tracks, drawn from what `clustering_scale.py` measured.

python -m pip install matplotlib
python benchmarks/clustering_plot.py benchmarks/results/clustering_scale.json --out docs/clustering_scale.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

SHOWN = {
    "default": "vcn-trt (default: average linkage, calibrated)",
    "ours": "Algorithm 1 to the letter",
    "hac": "HAC (SciPy)",
    "hdbscan": "HDBSCAN (scikit-learn)",
    "finch": "FINCH",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path, help="the JSON of clustering_scale.py")
    parser.add_argument("--out", type=Path, required=True, help="an SVG")
    given = parser.parse_args()
    runs = json.loads(given.figures.read_text())["runs"]
    pyplot.rcParams.update({"font.size": 10, "svg.hashsalt": "vcn-trt", "svg.fonttype": "none"})
    figure, (seconds, memory) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for method, title in SHOWN.items():
        own = [r for r in runs if r["method"] == method]
        if not own:
            continue
        sizes = [r["tracks"] for r in own]
        seconds.plot(sizes, [r["seconds"] for r in own], marker="o", label=title)
        memory.plot(sizes, [r["peak_gib"] - r["peak_gib_before"] for r in own], marker="o", label=title)
    for axes, title in ((seconds, "seconds (2 cores)"), (memory, "peak memory beside the input, GiB")):
        axes.set(xlabel="tracks (K = 1,024)", title=title, xscale="log")
        axes.grid(alpha=0.3)
    seconds.set_yscale("log")
    seconds.axhline(60, color="grey", linestyle=":", linewidth=1)
    seconds.text(1000, 64, "60 s", color="grey")
    seconds.legend(frameon=False, fontsize=9)
    figure.savefig(given.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
