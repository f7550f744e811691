"""The ready-made dashboard of a study in Weights & Biases, a saved view: plain nets beside residual
ones.

A view shows one set of runs in all of its panels, so each kind has keys of its own
(`measured.by_kind`). Needs the extra `workspace`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from degradation import cli, measured
from degradation.config import ConfigError
from degradation.tracking import account, starting
from degradation.tracking.logged import Study, study_of

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

SHADES = {
    "plain": ("#f4a582", "#d6604d", "#b2182b", "#67001f"),
    "residual": ("#92c5de", "#4393c3", "#2166ac", "#053061"),
}
"""From the shallowest net to the deepest; others between these."""
PROBED = {
    "gradients": {
        "Weights' gradient: log10 of first layer over last": "first_to_last_weight",
        "Gradient that reaches a block: log10 of first over last": "first_to_last_output",
        "Weights' gradient by layer": r"weight/\d+",
        "Gradient that reaches a block": r"output/\d+",
    },
    "responses": {"Mean response": "mean", "Responses by layer": r"layer/\d+"},
    "shattering": {"Mean autocorrelation": "mean", "By lag": r"autocorrelation/\d+"},
    "identity": {"Mean of ||F(x)|| / ||x||": "mean", "By block": r"block/\d+"},
    "lesion": {"Median rise": "delete_rise_median", "By deleted block": r"delete/\d+"},
    "first_layer": {"Norm of the first layer's gradient": "l2"},
}
"""By probe the panels' titles, and keys below `probe/<probe>/` or a pattern of them."""
ALL = {"All": r"\S+"}
ENDS = {"Training": "eval/train_", "Test": "test/"}
SPLITS = {"train": "Training", "test": "Test", "running": "Training (running, augmented)"}


def view(study: Study) -> "ws.Workspace":
    """Reds for plain nets and blues for residual ones, the same axis for both."""
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

    sections = {"Curves": _curves(study), "At the end": _final(study)}
    sections |= {f"Probe: {name}": _probed(name) for name in study.probes}
    grouping = [expr.Config("model.kind"), expr.Config("model.depth")]
    ends = [f"{split}{what}" for what in study.measures for split in ENDS.values()]
    return ws.Workspace(
        entity=study.entity,
        project=study.project,
        name=study.title,
        sections=[
            ws.Section(
                name=name,
                panels=list(panels),
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=2, rows=(len(panels) + 1) // 2),
                panel_settings=ws.SectionPanelSettings(x_axis="iteration"),
            )
            for name, panels in sections.items()
        ],
        settings=ws.WorkspaceSettings(x_axis="iteration", max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=study.filters(),
            groupby=[*grouping, *([expr.Metric("Group")] if study.has_variants else [])],
            order=[expr.Ordering(expr.Config("model.value.depth"), ascending=True)],
            group_colors=_colours(study),
            pinned_columns=[f"summary:{key}" for key in ends],
        ),
    )


def _curves(study: Study) -> Sequence["wr.LinePlot"]:
    """Training above test, plain beside residual."""
    panels = []
    for name in study.curves:
        split, _, what = name.partition("_")
        is_error = what == measured.ERROR
        for kind in study.kinds:
            panels.append(
                _line(
                    f"{SPLITS[split]} {'error, %' if is_error else 'loss'}: {kind}",
                    y=[measured.by_kind(name, kind)],
                    range_y=(0, 100) if is_error else (None, None),
                )
            )
    return panels


def _line(title: str, **which: Any) -> "wr.LinePlot":
    """Mean and range over the runs of a group, which differ in the seed."""
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(
        title=title,
        x="iteration",
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        max_runs_to_show=100,
        **which,
    )


def _final(study: Study) -> Sequence["wr.PanelTypes"]:
    """The last iterate on all images, against depth, and by group."""
    import wandb_workspaces.reports.v2 as wr

    ends = {
        f"{title} {what.removesuffix('_pct')}": f"{split}{what}"
        for what in study.measures
        for title, split in ENDS.items()
    }
    points = [
        wr.ScatterPlot(
            title=f"{title} at the end against depth",
            x=wr.Config("model.depth"),
            y=wr.SummaryMetric(key),
        )
        for title, key in ends.items()
    ]
    bars = [
        wr.BarPlot(
            title=f"{title} at the end",
            metrics=[key],
            orientation="v",
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
            max_bars_to_show=100,
        )
        for title, key in ends.items()
    ]
    return [*points, *bars]


def _probed(probe: str) -> Sequence["wr.LinePlot"]:
    panels = []
    for title, key in PROBED.get(probe, ALL).items():
        name = f"probe/{probe}/{key}"
        pattern = {"metric_regex": f"^{name}$"}
        panels.append(_line(title, **(pattern if "\\" in key else {"y": [name]})))
    return panels


def _colours(study: Study) -> dict[object, object]:
    """By the groups that the lines are of."""
    from wandb_workspaces.workspaces import GroupPath

    colours: dict[object, object] = {}
    for kind, shades in SHADES.items():
        arms = [(str(depth), name) for own, depth, name in study.arms if own == kind]
        for number, (depth, name) in enumerate(arms):
            last = [name] if study.has_variants else []
            at = number * (len(shades) - 1) / max(1, len(arms) - 1)
            colours[GroupPath(kind, depth, *last)] = _between(shades, at)
    return colours


def _between(shades: Sequence[str], at: float) -> str:
    """The shade at a place from 0 to the last one's number."""
    low = min(int(at), len(shades) - 2)
    pairs = zip(*(bytes.fromhex(shade[1:]) for shade in shades[low : low + 2]), strict=True)
    return "#" + bytes(round(a + (b - a) * (at - low)) for a, b in pairs).hex()


def outline(study: Study) -> list[str]:
    """The view by its panels, for people."""
    lines = [f"view {study.title!r}: runs where {study.filters()}"]
    for section in view(study).sections:
        titles = [str(getattr(panel, "title", "")) for panel in section.panels]
        lines.append(f"  {section.name}: {'; '.join(titles)}")
    return lines


def save(experiment: str, preset: str, overrides: Sequence[str] = ()) -> str:
    """Saves it with the account at hand and returns its address. Raises ConfigError without a key,
    ImportError without the extra, and ConnectionError.
    """
    if not account.has_key():
        raise ConfigError(account.NO_KEY)
    starting.ask()
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    try:
        api = wandb.Api()
        study = study_of(experiment, preset, overrides, api.default_entity or "")
        if study.project not in [project.name for project in api.projects(study.entity)]:
            api.create_project(study.project, study.entity)
        return str(view(study).save().url)
    except wandb.Error as error:
        raise ConnectionError(f"W&B: {cli.one_line(error)}") from None
