"""What the charts draw, as tables: for the keyboard, for a screen reader, for a phone.

Made from the charts' own traces, so that both say the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from degradation.analysis.curves import DIVERGED_ERROR_PCT
from degradation.analysis.page.charts import SPLITS, Charts, Trace

MOST_ROWS = 12
"""Of the iterations of a curve, evenly chosen, the first and the last among them."""


@dataclass(frozen=True)
class Table:
    """The first cell of each row names it."""

    caption: str
    variant: str
    """Of the arms, which the page's form chooses."""
    head: list[str]
    rows: list[list[str]]


def curve_tables(charts: Charts, kind: str) -> list[Table]:
    """Mean error over seeds by iteration, a column an arm; a table each variant and split."""
    tables = [
        _curve_table(charts, kind, variant, split)
        for variant in charts.variants
        for split in SPLITS
    ]
    return [table for table in tables if table.rows]


def _curve_table(charts: Charts, kind: str, variant: str, split: str) -> Table:
    lines = {
        trace["meta"]["arm"]: trace
        for trace in charts.panels[kind]
        if trace["meta"]["split"] == split and not trace["meta"].get("band")
    }
    keys = [key for key in charts.keys[kind] if key.variant == variant and key.arm in lines]
    head = [f"{key.label}, {key.note or _n(lines[key.arm])}" for key in keys]
    rows = _by_iteration([lines[key.arm] for key in keys])
    nets = f"{kind.capitalize()} nets{_named(charts, variant)}"
    has_spread = any(lines[key.arm]["meta"]["n"] > 1 for key in keys)
    how = "mean over seeds" if has_spread else "one run an arm"
    caption = f"{nets}, {charts.error_names[split]} error in %, {how}"
    return Table(caption, variant, ["iteration", *head], rows)


def _n(line: Trace) -> str:
    return f"n = {line['meta']['n']}"


def _named(charts: Charts, variant: str) -> str:
    return f" ({charts.variants[variant]})" if len(charts.variants) > 1 else ""


def _by_iteration(lines: Sequence[Trace]) -> list[list[str]]:
    """A cell is empty where the curve has no point; all have one once their runs diverged."""
    points: list[dict[int, float]] = [dict(zip(e["x"], e["y"], strict=True)) for e in lines]
    lost = [line["meta"]["lost_at"] for line in lines]
    grids = [
        [at for at in of_arm if at != after or at == max(of_arm)]
        for of_arm, after in zip(points, lost, strict=True)
    ]
    grid = max(grids, key=len, default=[])
    chosen = np.linspace(0, len(grid) - 1, min(len(grid), MOST_ROWS)).round().astype(int)

    def cell(at: int, of_arm: dict[int, float], after: int | None) -> str:
        is_lost = after is not None and at >= after
        value = DIVERGED_ERROR_PCT if is_lost else of_arm.get(at)
        return "" if value is None else f"{value:.2f}"

    return [
        [f"{at:,}", *(cell(at, *of_arm) for of_arm in zip(points, lost, strict=True))]
        for at in (grid[index] for index in chosen)
    ]


def final_tables(charts: Charts) -> list[Table]:
    """Error of the last iterate: a row a depth, kind of net and split, a table a variant."""
    head = ["depth", "nets", "error on", "mean in %", "95 % interval", "n"]
    tables = []
    for variant in charts.variants:
        lines = [
            trace
            for trace in charts.final
            if trace["meta"]["variant"] == variant and not trace["meta"].get("dots")
        ]
        rows = sorted((row for line in lines for row in _final_rows(line)), key=_order)
        caption = f"Error of the last iterate{_named(charts, variant)}"
        tables.append(Table(caption, variant, head, rows))
    return [table for table in tables if table.rows]


def _order(row: Sequence[str]) -> tuple[str, str, int]:
    """Training before test, plain before residual, then by depth."""
    return "" if row[2] == "training" else row[2], row[1], int(row[0])


def _final_rows(line: Trace) -> Iterator[list[str]]:
    kind, split = line["name"].split(", ")
    for mean, half, (depth, n) in zip(
        line["y"], line["error_y"]["array"], line["customdata"], strict=True
    ):
        interval = f"{mean - half:.2f} to {mean + half:.2f}" if n > 1 else ""
        yield [str(depth), kind, split, f"{mean:.2f}", interval, str(n)]
