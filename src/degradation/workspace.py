"""The ready-made dashboard of a study in Weights & Biases, from the study's config: a saved view,
and a report with plain above residual nets.

A view shows one set of runs in all of its panels; what is filtered panel by panel is a report.
Needs the extra `workspace`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from degradation import account, cli
from degradation.config import KINDS, Config, ConfigError

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

SHADES = {
    "plain": ("#f4a582", "#d6604d", "#b2182b", "#67001f"),
    "residual": ("#92c5de", "#4393c3", "#2166ac", "#053061"),
}
"""From the shallowest net to the deepest."""
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


@dataclass(frozen=True)
class Study:
    """What the panels have to know."""

    experiment: str
    preset: str
    project: str
    entity: str
    measure: str
    """`error_pct`, or `loss` for nets that copy their input."""
    curves: dict[str, str]
    """Title -> key, of what is measured while a run trains."""
    depths: list[int]
    probes: list[str]
    has_variants: bool
    """Whether arms differ in more than kind and depth."""

    @property
    def title(self) -> str:
        return f"{self.experiment}, {self.preset}"

    def filters(self, kind: str = "") -> str:
        parts = {"experiment": self.experiment, "preset": self.preset}
        parts |= {"model.value.kind": kind} if kind else {}  # where W&B keeps it
        return " and ".join(f"Config('{key}') = '{value}'" for key, value in parts.items())


def study_of(experiment: str, preset: str, entity: str = "") -> Study:
    """Raises Hydra's errors for an unknown experiment or preset."""
    runs = cli.sweep(experiment, preset, ["seed=0"])
    cfgs = list(runs.values())
    first = cfgs[0]
    measure = "loss" if first.model.net in ("stack", "autoencoder") else "error_pct"
    pairs = {(cfg.model.kind, cfg.model.depth) for cfg in cfgs}
    return Study(
        experiment=experiment,
        preset=preset,
        project=first.tracking.project,
        entity=first.tracking.entity or entity,
        measure=measure,
        curves=_curves(first, measure),
        depths=sorted({cfg.model.depth for cfg in cfgs}),
        probes=sorted({probe for cfg in cfgs for probe in cfg.trainer.probes}),
        has_variants=len({name.rpartition("-s")[0] for name in runs}) > len(pairs),
    )


def _curves(cfg: Config, measure: str) -> dict[str, str]:
    if not cfg.trainer.eval_every:
        return {"Training (running, augmented)": f"train/{measure}"}
    test = "test/subset_" if cfg.trainer.curve_test_images else "test/"
    return {"Training": f"eval/train_subset_{measure}", "Test": f"{test}{measure}"}


def view(study: Study) -> "ws.Workspace":
    """The saved view: all arms in each panel, reds for plain nets and blues for residual ones."""
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

    curves = [_line(title, key, study) for title, key in study.curves.items()]
    sections = {"Curves": curves, "At the end": _final(study)}
    sections |= {f"Probe: {name}": _probed(name) for name in study.probes}
    grouping = [expr.Config("model.kind"), expr.Config("model.depth")]
    return ws.Workspace(
        entity=study.entity,
        project=study.project,
        name=study.title,
        sections=[
            ws.Section(
                name=name,
                panels=list(panels),
                is_open=True,
                layout_settings=ws.SectionLayoutSettings(columns=2, rows=2),
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
            pinned_columns=[f"summary:eval/train_{study.measure}", f"summary:test/{study.measure}"],
        ),
    )


def report(study: Study) -> "wr.Report":
    """Plain nets above, residual ones below, the same panels and axes."""
    import wandb_workspaces.reports.v2 as wr

    groups = ["config.model.depth", *(["group"] if study.has_variants else [])]
    blocks: list[wr.BlockTypes] = []
    for kind in KINDS:
        panels = [_line(title, key, study) for title, key in study.curves.items()]
        for number, panel in enumerate(panels):
            panel.layout = wr.Layout(x=12 * number, y=0, w=12, h=9)
        runs = wr.Runset(name=kind, filters=study.filters(kind), groupby=groups)
        blocks += [wr.H2(kind.capitalize()), wr.PanelGrid(runsets=[runs], panels=list(panels))]
    return wr.Report(
        project=study.project,
        entity=study.entity,
        title=f"{study.title}: plain and residual",
        description="Mean over seeds by depth, and from the lowest to the highest.",
        width="fluid",
        blocks=blocks,
    )


def _line(title: str, key: str, study: Study) -> "wr.LinePlot":
    """Mean and range over the runs of a group, which differ in the seed."""
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(
        title=f"{title} {'error, %' if study.measure == 'error_pct' else 'loss'}",
        x="iteration",
        y=[key],
        range_y=(0, 100) if study.measure == "error_pct" else (None, None),
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        max_runs_to_show=100,
    )


def _final(study: Study) -> Sequence["wr.PanelTypes"]:
    """The last iterate on all images, against depth, and by group."""
    import wandb_workspaces.reports.v2 as wr

    ends = {"Training": f"eval/train_{study.measure}", "Test": f"test/{study.measure}"}
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
    import wandb_workspaces.reports.v2 as wr

    panels = []
    for title, key in PROBED[probe].items():
        name = f"probe/{probe}/{key}"
        which = {"metric_regex": f"^{name}$"} if "\\" in key else {"y": [name]}
        panels.append(
            wr.LinePlot(
                title=title,
                x="iteration",
                groupby_aggfunc="mean",
                groupby_rangefunc="minmax",
                max_runs_to_show=100,
                **which,
            )
        )
    return panels


def _colours(study: Study) -> dict[object, object]:
    from wandb_workspaces.workspaces import GroupPath

    return {
        GroupPath(kind, str(depth)): shades[number * len(shades) // len(study.depths)]
        for kind, shades in SHADES.items()
        for number, depth in enumerate(study.depths)
    }


def outline(study: Study) -> list[str]:
    """The view and the report by their panels, for people."""
    shown = view(study)
    lines = [f"view {study.title!r}: runs where {study.filters()}"]
    for section in shown.sections:
        titles = [str(getattr(panel, "title", "")) for panel in section.panels]
        lines.append(f"  {section.name}: {'; '.join(titles)}")
    return [*lines, f"report {report(study).title!r}: {', '.join(study.curves)} by kind"]


def save(experiment: str, preset: str) -> list[str]:
    """Saves both with the account at hand and returns their addresses. Raises ConfigError without
    a key or the extra, and ConnectionError.
    """
    if not account.has_key():
        raise ConfigError(account.NO_KEY)
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    try:
        study = study_of(experiment, preset, wandb.Api().default_entity or "")
        saved = report(study).save()  # which makes the project where there is none yet
        return [view(study).save().url, saved.url]
    except (wandb.Error, wandb.errors.CommError) as error:
        raise ConnectionError(f"W&B: {cli.one_line(error)}") from None
