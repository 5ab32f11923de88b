"""`make bench`: one web process under load, each figure beside its limit in the same run.

make bench                  the table of docs/performance.md, its picture and the time budget
make bench ARGS="--big"     create and order with 5 million orders in the table, too (10 minutes)
make bench ARGS="--rounds 1 --seconds 1 --dry"     a quick look that writes no page
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks import big, report, site
from benchmarks.checks import check_addresses
from benchmarks.load import Missing, need
from benchmarks.rounds import Plan, half_load, interleaved
from benchmarks.stages import budget


async def main() -> int:
    """Measure, check, write. 1 when an order has no address of its own, or a load was refused."""
    asked = _arguments()
    need("wrk")
    with tempfile.TemporaryDirectory(prefix="swd-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with site.postgres(folder) as cluster:
            names = ["desk_small", "desk_pgbench"] + (["desk_big"] if asked.big else [])
            await site.prepare(cluster, names)
            async with (
                site.site_up(folder, cluster, "desk_small") as desk,
                site.site_up(folder, cluster, "desk_pgbench", web=False) as other,
            ):
                plan = Plan(folder, cluster, desk, other, asked.seconds, asked.rounds)
                figures = await interleaved(plan)
                halves = await half_load(plan, figures)
                stages = await budget(desk)
                checked = await check_addresses(desk)
                sizes = await big.compare(plan) if asked.big else None
    page = report.page(figures, halves, stages, checked, sizes)
    print(page)
    if not asked.dry:
        report.write(page, figures)
    clean = all(figure.refused + figure.broken == 0 for figure in figures)
    return 0 if clean else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="odd, for the median")
    parser.add_argument("--seconds", type=int, default=4, help="of each load in each round")
    parser.add_argument("--big", action="store_true", help="with 5 million orders, too")
    parser.add_argument("--dry", action="store_true", help="write no page")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except Missing as missing:
        sys.exit(f"bench: {missing}")
