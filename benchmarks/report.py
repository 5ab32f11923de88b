"""What was measured, as a table and a picture in docs/performance.md."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.load import Load
from benchmarks.rounds import CONNECTIONS, ORDERS, TARGETS, Figure
from swapdesk.embedded import installed

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "performance.md"
PICTURE: Final = ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- measured by `make bench`; do not edit -->", "<!-- end of what was measured -->"


def page(
    figures: Sequence[Figure],
    halves: dict[str, Load],
    stages: dict[str, float],
    checked: int,
    sizes: dict[str, tuple[float, float, float]] | None,
) -> str:
    """The measured part of the page."""
    parts = [
        _machine(figures),
        "![each load beside its limit](performance.svg)",
        _table(figures),
        _half(halves),
        f"Afterwards {checked:,} orders were looked at: each has an address of its own, derived "
        "from its own index, and 256 answers said the same as the table.",
        _stages(stages),
    ]
    if sizes:
        parts.append(_sizes(sizes))
    return "\n\n".join(parts)


def _machine(figures: Sequence[Figure]) -> str:
    cores = os.cpu_count()
    load_1, load_5, _ = os.getloadavg()
    names = ", ".join(f"{name} {version(name)}" for name in ("uvicorn", "uvloop", "asyncpg"))
    return (
        f"{cores} cores for everything together: web, PostgreSQL, wrk and whatever else runs "
        f"(load average {load_1:.1f} now, {load_5:.1f} over five minutes). "
        f"Python {platform.python_version()}, {names}, PostgreSQL {installed()[0].major}, "
        f"{len(figures[0].rates)} rounds, {CONNECTIONS} connections, 16 clients of pgbench."
    )


def _table(figures: Sequence[Figure]) -> str:
    rows = [
        "| load | calls/s | beside | ratio | wanted | p50 ms | p99 ms | µs Python | µs PostgreSQL |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for figure in figures:
        wanted = TARGETS.get(figure.name)
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        mark = "" if wanted is None or figure.ratio is None else _mark(figure.ratio, wanted)
        rows.append(
            f"| {figure.name} | {figure.rate:,.0f} | {figure.limit or ''} | {ratio} "
            f"| {'' if wanted is None else f'{wanted:.2f} {mark}'} | {median(figure.p50):.1f} "
            f"| {median(figure.p99):.1f} | {median(figure.python) or 0:.0f} "
            f"| {median(figure.postgres):.0f} |"
        )
    return "\n".join(rows)


def _mark(ratio: float, wanted: float) -> str:
    return "reached" if ratio >= wanted else "missed"


def _half(halves: dict[str, Load]) -> str:
    rows = ["| at half load | calls/s | p50 ms | p99 ms (wanted: 15) |", "|---|--:|--:|--:|"]
    rows += [
        f"| {name} | {load.rate:,.0f} | {load.p50:.1f} | {load.p99:.1f} |"
        for name, load in halves.items()
    ]
    return "\n".join(rows)


def _stages(stages: dict[str, float]) -> str:
    rows = ["| stage, one process | µs of CPU per call |", "|---|--:|"]
    rows += [f"| {name} | {micros:.1f} |" for name, micros in stages.items()]
    return "\n".join(rows)


def _sizes(sizes: dict[str, tuple[float, float, float]]) -> str:
    rows = [
        f"| load | calls/s with {ORDERS:,} orders | with 5,000,000 | time (wanted: at most 1.2) |",
        "|---|--:|--:|--:|",
    ]
    rows += [
        f"| {name} | {small:,.0f} | {big:,.0f} | {times:.2f} |"
        for name, (small, big, times) in sizes.items()
    ]
    return "\n".join(rows)


def write(text: str, figures: Sequence[Figure]) -> None:
    """Put the measured part into the page, and draw its picture."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    PICTURE.write_text(picture([figure for figure in figures if figure.ratio is not None]))


WIDTH, ROW, LEFT, RIGHT, TOP = 760, 46, 190, 120, 46
INK, FAINT, GOOD, SHORT = "#1f2933", "#cbd2d9", "#2f855a", "#b7791f"


def picture(figures: Sequence[Figure]) -> str:
    """Bars of ratio to limit, with a tick where each should be."""
    most = max(1.0, *(figure.ratio or 0 for figure in figures)) * 1.05
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + ROW * len(figures) + 34
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="600" fill="{INK}">One web process, '
        "each load beside its limit in the same run</text>",
    ]
    bottom = TOP + ROW * len(figures)
    for tenth in range(0, int(most * 10) + 1, 2):
        x = LEFT + tenth / 10 * scale
        out.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{FAINT}"/>')
        out.append(
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="{INK}" '
            f'font-size="11">{tenth / 10:.1f}</text>'
        )
    for number, figure in enumerate(figures):
        out += _bar(figure, TOP + ROW * number, scale)
    return "\n".join([*out, "</svg>"]) + "\n"


def _bar(figure: Figure, y: float, scale: float) -> list[str]:
    ratio, wanted = figure.ratio or 0, TARGETS.get(figure.name)
    color = FAINT if wanted is None else GOOD if ratio >= wanted else SHORT
    end = LEFT + ratio * scale
    middle = y + ROW / 2
    label = f"{ratio:.2f} of {figure.limit}"
    parts = [
        f'<text x="{LEFT - 12}" y="{middle + 1}" text-anchor="end" fill="{INK}">{figure.name}</text>',
        f'<text x="{LEFT - 12}" y="{middle + 15}" text-anchor="end" fill="#7b8794" '
        f'font-size="11">{figure.rate:,.0f} calls/s</text>',
        f'<rect x="{LEFT}" y="{y + 9}" width="{ratio * scale:.1f}" height="{ROW - 18}" rx="2" '
        f'fill="{color}"/>',
        f'<text x="{end + 8:.1f}" y="{middle + 5}" fill="{INK}">{label}</text>',
    ]
    if wanted is not None:
        x = LEFT + wanted * scale
        parts.append(
            f'<line x1="{x:.1f}" y1="{y + 4}" x2="{x:.1f}" y2="{y + ROW - 4}" stroke="{INK}" '
            'stroke-width="2"/>'
        )
    return parts
