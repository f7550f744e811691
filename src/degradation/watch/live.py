"""A sweep while it runs: its table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from degradation.watch.progress import Sweep
from degradation.watch.table import end_of, total_text, view

REFRESH_S = 1.0
LINE_EVERY_S = 30.0


def watch(
    sweep: Sweep,
    running: Callable[[], bool],
    console: Console,
    pause: Callable[[float], object] = time.sleep,
    is_below_lines: bool = False,
) -> None:
    """Shows the sweep until `running` says that it is over.

    pause: between two looks, for seconds. is_below_lines: of others, who print them by the console;
    else a terminal keeps the last state.
    """
    if not console.is_interactive:
        _lines(sweep, running)
        return
    takes_prints = not is_below_lines  # of this process, for the console
    with Live(
        console=console,
        auto_refresh=False,
        transient=is_below_lines,
        redirect_stdout=takes_prints,
        redirect_stderr=takes_prints,
    ) as live:
        shown, over = None, False
        while not over:
            over = not running()
            runs = sweep.look(over)
            state = [(run.status, len(run.rows)) for run in runs], console.size, over
            if state != shown and not (over and is_below_lines):  # drawing is what costs
                height = None if over else console.size.height
                live.update(view(runs, sweep.workers, console.width, height), refresh=True)
            shown = state
            if not over:
                pause(REFRESH_S)


def _lines(sweep: Sweep, running: Callable[[], bool]) -> None:
    told = {run.plan.name for run in sweep.look() if end_of(run)}
    next_line = time.monotonic() + LINE_EVERY_S
    over = False
    while not over:
        over = not running()
        runs = sweep.look(over)
        for run in runs:
            if run.plan.name not in told and (news := end_of(run)):
                told.add(run.plan.name)
                print(f"{run.plan.name:<20} {news}", flush=True)
        if time.monotonic() >= next_line and not over:
            next_line += LINE_EVERY_S
            print(total_text(runs, sweep.workers), flush=True)
        if not over:
            time.sleep(REFRESH_S)
