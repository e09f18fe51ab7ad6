"""The Markdown of one bench, or of several side by side: from their JSON and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vcn_trt.bench.parts import SCHEMA
from vcn_trt.bench.record import markdown
from vcn_trt.bench.targets import targets
from vcn_trt.errors import UsageError

Json = dict[str, Any]


def read(path: Path) -> Json:
    """A bench's record. Raises UsageError for a file that is none."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        schema = tree["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no result of `vcn bench` ({error}); make one with --out {path}") from error
    if schema != SCHEMA:
        raise UsageError(f"{path} is of schema {schema!r}, this version shows {SCHEMA!r}: bench again")
    if missing := {"command", "date", "device", "machine", "rates", "sheet", "input", "parts"} - set(tree):
        raise UsageError(f"{path} has no {sorted(missing)[0]!r}: bench again")
    return dict(tree)


def show(benches: Sequence[Json]) -> str:
    """Each bench's head; then its table, or for several the rates of all in one."""
    heads = [_head(b, "" if len(benches) == 1 else f"{chr(65 + i)}: ") for i, b in enumerate(benches)]
    table = _alone(benches[0]) if len(benches) == 1 else _beside(benches)
    lists = [_targets(benches[0]) if len(benches) == 1 else [], [line for b in benches for line in _missing(b)]]
    return "\n\n".join([*heads, table, *("\n".join(lines) for lines in lists if lines)]) + "\n"


def _head(bench: Json, mark: str) -> str:
    device, machine, films = bench["device"], bench["machine"], bench["input"]["films"]
    lines = [f"**{mark}{device.get('gpu') or machine['processor']}** ({device['description']}), {bench['date']}", ""]
    if "gpu" in device:
        lines.append(f"- driver {device['driver'] or 'unknown'}, CUDA {device['cuda']}, {device['memory_gib']} GiB")
    lines.append(
        f"- {machine['cores']} cores of {machine['processor']}, load {machine['load_average'][0]} before it began"
    )
    if rates := bench["rates"]:
        products = ", ".join(f"{name} {rates[name] / 1e12:.3g}" for name in ("float32", "half", "float64"))
        lines.append(f"- measured: {rates['bandwidth'] / 1e9:.4g} GB/s; Tflop/s in {products}")
    if sheet := bench["sheet"]:
        lines.append(f"- by its data sheet ({sheet['name']}): {sheet['bandwidth'] / 1e9:.4g} GB/s")
    named = [f"{f['name']} ({f['codec']} {f['width']}x{f['height']}, {f['frames']} frames)" for f in films]
    lines.append(f"- film: {', '.join(named)}, {bench['input']['kind']}")
    lines.append(f"- `{bench['command']}`")
    for part in bench["parts"]:
        if part["sensors"] and "watt" in part["sensors"]:
            s = part["sensors"]
            clock = f", {s['sm_mhz']['median']:.0f} MHz" if "sm_mhz" in s else ""
            lines.append(f"- {part['part']}: {s['watt']['median']:.0f} W, at most {s['watt']['max']:.0f} W{clock}")
    return "\n".join(lines)


COLUMNS = ("part", "what", "by", "streams", "rate", "a stream", "median ms", "p99 ms", "rounds", "calls")


def _alone(bench: Json) -> str:
    """Rates with the least and greatest of the rounds."""
    rows = []
    for part in bench["parts"]:
        for f in part["figures"]:
            name = f"{f['by']} ({f['how']})"
            cells: list[Any] = [part["part"], f["what"], name, str(f["streams"])]
            if f["failed"]:
                rows.append([*cells, f"failed: {f['failed']}", *[""] * 9])
                continue
            calls = [_ms(f["seconds"].get(key)) for key in ("median", "p99")]
            over = ", ".join(f"{peer} {_spread(times)}" for peer, times in f["over"].items())
            share = f"{100 * f['share']:.3g} % ({f['most']['of']})" if f["share"] is not None else ""
            facts = ", ".join(f"{key} {_number(value)}" for key, value in f["facts"].items())
            rates = [f"{_spread(f['rate'])} {f['unit']}/s", _number(f["rate_a_stream"])]
            rows.append([*cells, *rates, *calls, str(f["rounds"]), str(f["calls"] or ""), over, share, facts])
    return markdown([*COLUMNS, "times as fast as", "of the most possible", "with"], rows)


def _beside(benches: Sequence[Json]) -> str:
    """A column a bench: rates, with the factor over the first."""
    found: dict[tuple[str, ...], list[str]] = {}
    first: dict[tuple[str, ...], float] = {}
    for i, bench in enumerate(benches):
        for part in bench["parts"]:
            for f in part["figures"]:
                key = (part["part"], f["what"], f["by"], str(f["streams"]), f["unit"])
                cells = found.setdefault(key, [""] * len(benches))
                if f["failed"]:
                    cells[i] = "failed"
                    continue
                rate = f["rate"]["median"]
                over = f", {rate / first[key]:.3g}x" if i and key in first else ""
                first.setdefault(key, rate) if not i else None
                cells[i] = f"{_spread(f['rate'])} {f['unit']}/s{over}"
    rows: list[list[Any]] = [[*key[:4], *cells] for key, cells in found.items()]
    return markdown(["part", "what", "by", "streams", *(chr(65 + i) for i in range(len(benches)))], rows)


def _targets(bench: Json) -> list[str]:
    """Of a card alone: no CPU was ever meant to reach them."""
    if "gpu" not in bench["device"]:
        return []
    lines = []
    for t in targets(bench):
        found = "not measured" if t.found is None else f"{_number(t.found)}, {'reached' if t.reached else 'missed'}"
        lines.append(f"- {t.what}: {found} (wanted: {'at least' if t.least else 'below'} {t.wanted:g})")
    return lines


def _missing(bench: Json) -> list[str]:
    where = bench["device"]["name"]
    return [f"- {where}, {p['part']} {p['state']}: {p['reason']}" for p in bench["parts"] if p["state"] != "done"]


def _spread(values: Json) -> str:
    if values["min"] == values["max"]:
        return _number(values["median"])
    return f"{_number(values['median'])} ({_number(values['min'])} to {_number(values['max'])})"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else _number(1000 * seconds)


def _number(value: Any) -> str:
    """Three figures, or all of those before the point."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
