"""The dashboard that `make workspace` saves, as an object: its panels against real records."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from tests.helpers import tiny_config
from tests.wandb_server import Server

from degradation import cli, config, records
from degradation.tracking import account, workspace
from degradation.tracking.logged import Study, study_of

pytest.importorskip("wandb_workspaces", reason="needs the extra `workspace`")

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style")  # wandb_workspaces' own
ROOT = Path(__file__).parents[2]
MEASURES = ("error_pct", "loss")


def spec(study: Study) -> dict[str, Any]:
    """The view as it goes to the server."""
    dumped = workspace.view(study)._to_model().spec.model_dump_json(by_alias=True)
    section: dict[str, Any] = json.loads(dumped)["section"]
    return section


def panels(section: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and configuration of each."""
    for part in section["panelBankConfig"]["sections"]:
        yield from ((panel["viewType"], panel["config"]) for panel in part["panels"])


def drawn(study: Study) -> list[list[list[str]]]:
    """The keys of the curves' panels, row by row."""
    part = next(part for part in spec(study)["panelBankConfig"]["sections"] if part["isOpen"])
    assert part["name"] == "Curves"
    keys = [panel["config"]["metrics"] for panel in part["panels"]]
    wide = part["flowConfig"]["columnsPerPage"]
    assert part["flowConfig"]["rowsPerPage"] * wide >= len(keys)
    return [keys[at : at + wide] for at in range(0, len(keys), wide)]


BESIDE = [
    [["train_error_pct/plain"], ["train_error_pct/residual"]],
    [["test_error_pct/plain"], ["test_error_pct/residual"]],
]


def logged(experiment: str) -> set[str]:
    """Columns of the committed records, which real runs have left, and their curves by kind: of
    some images, or the running one where the clean ones have one point.
    """
    columns = set()
    for run in records.read_study(ROOT / "results" / experiment / "quick"):
        found, kind = {key for row in run.rows for key in row}, run.config["model"]["kind"]
        is_curve = any(len(run.curve(f"test/subset_{what}")[0]) > 1 for what in MEASURES)
        again = (
            {
                "eval/train_subset_": "train",
                "test/subset_": "test",
            }
            if is_curve
            else {"train/": "running"}
        )
        for prefix, name in again.items():
            whats = [what for what in MEASURES if f"{prefix}{what}" in found]
            columns |= {f"{name}_{what}/{kind}" for what in whats}
        columns |= found
    return columns


@pytest.mark.parametrize("made", [True, False], ids=["from its runs", "as it is planned"])
@pytest.mark.parametrize(
    "experiment",
    [
        *("depth_sweep", "gradient_flow", "identity_mapping"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("layer_responses", "shattered_gradients", "lesion", "autoencoder")
        ),
    ],
)
def test_each_panel_shows_what_real_runs_have_logged(
    experiment: str, made: bool, tmp_path: Path
) -> None:
    root = ROOT / "results" if made else tmp_path
    found = spec(study_of(experiment, "quick", [f"output_root={root}"], "student"))
    columns, shown = logged(experiment), list(panels(found))
    assert len(shown) >= 5
    for kind, panel in shown:
        if kind == "Scatter Plot":
            assert panel["xAxis"] == "config:model.value.depth"
            assert panel["yAxis"].removeprefix("summary:") in columns
        elif panel.get("useMetricRegex"):
            assert any(re.search(panel["metricRegex"], column) for column in columns)
        else:
            assert set(panel["metrics"]) <= columns != set()
        if kind == "Run History Line Plot":
            assert panel["xAxis"] == "iteration"
            assert (panel["groupAgg"], panel["groupArea"]) == ("mean", "minmax")


def test_the_view_of_the_depth_sweep_has_plain_beside_residual(tmp_path: Path) -> None:
    study = study_of("depth_sweep", "quick", [f"output_root={tmp_path}"], "student")
    found = spec(study)
    assert drawn(study) == BESIDE
    curves = [panel for kind, panel in panels(found) if kind == "Run History Line Plot"]
    assert [(panel["yAxisMin"], panel["yAxisMax"]) for panel in curves] == [(0, 100)] * 4
    assert [panel["chartTitle"] for panel in curves] == [
        *("Training error, %: plain", "Training error, %: residual"),
        *("Test error, %: plain", "Test error, %: residual"),
    ]
    [runs] = found["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["model.value.kind", "model.value.depth"]
    chosen = {item["key"]["name"]: item["value"] for item in runs["filters"]["filters"]}
    assert chosen == {"experiment": "depth_sweep", "preset": "quick"}
    assert found["settings"]["xAxis"] == "iteration"


def colours(study: Study) -> dict[tuple[str, ...], str]:
    """By the values of the groups, of which the view's keys are JSON."""
    found: dict[str, str] = spec(study)["customRunColors"]
    paths = {key: json.loads(unquote(key.rsplit(":", 1)[1])) for key in found}
    return {tuple(part["value"] for part in paths[key]): found[key] for key in found}


def test_reds_are_plain_and_blues_residual_the_deeper_the_darker(tmp_path: Path) -> None:
    found = colours(study_of("depth_sweep", "quick", [f"output_root={tmp_path}"]))
    for kind, shades in workspace.SHADES.items():
        assert [found[kind, depth] for depth in ("18", "34", "56", "110")] == list(shades)

    arms = colours(study_of("blocks", "quick", [f"output_root={tmp_path}"]))
    assert len(arms) == len(set(arms.values())) == 28  # a colour an arm
    for (kind, *_), colour in arms.items():
        red, _, blue = bytes.fromhex(colour[1:])
        assert (red > blue) == (kind == "plain")


def test_paper_follows_the_whole_test_set_and_other_arms_are_groups_too(tmp_path: Path) -> None:
    root = [f"output_root={tmp_path}"]
    assert drawn(study_of("depth_sweep", "paper", root)) == BESIDE
    [runs] = spec(study_of("gradient_flow", "quick", root))["runSets"]
    assert [key["name"] for key in runs["grouping"]][2:] == ["group"]


def make_run(*overrides: str, seed: int = 0, rows: Sequence[records.Row] = ()) -> None:
    """A record as a run without a study leaves it, named from its config."""
    cfg = tiny_config("data.name=shapes", *overrides, f"seed={seed}")
    [name] = cli.named([cfg])
    writer = records.Writer(config.study_dir(cfg) / "runs" / name, config.to_dict(cfg), {})
    for row in rows:
        writer.write(row)
    writer.close()


def test_a_view_follows_what_runs_without_a_study_have_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        make_run("trainer.probes=[gradients]", "model.kind=plain", "model.depth=10", seed=seed)
    study = study_of("adhoc", "quick")
    assert drawn(study) == [[["train_error_pct/plain"], ["test_error_pct/plain"]]]
    assert study.probes == ["gradients"]
    assert (study.kinds, [depth for _, depth, _ in study.arms]) == (["plain"], [10])
    assert not study.has_variants
    make_run("model.kind=residual", "optim.lr=0.2")
    make_run("model.kind=residual", rows=[{"iteration": 0, "probe/construction/distance": 0.5}])
    study = study_of("adhoc", "quick")
    assert drawn(study) == BESIDE
    assert study.has_variants
    assert study.probes == ["construction", "gradients"]
    keys = [panel.get("metricRegex", "") for _, panel in panels(spec(study))]
    assert any(re.search(key, "probe/construction/distance") for key in keys if key)
    make_run("model.kind=plain", "trainer.eval_every=0")
    assert drawn(study_of("adhoc", "quick"))[2:] == [
        [["running_error_pct/plain"], ["running_error_pct/residual"]]
    ]


def test_what_cannot_be_shown_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("DEGRADATION_FULL_ERROR", "0")

    def told(*overrides: str) -> str:
        assert cli.guard(lambda: print(study_of("adhoc", "quick", overrides))) == 2
        return capsys.readouterr().err

    assert told() == "error: outputs/adhoc/quick: no runs, and nothing is planned\n"
    make_run("output_root=there")
    [path] = tmp_path.glob("there/*/*/runs/*/config.yaml")
    path.write_text(path.read_text().replace("depth: 8", "depth: 7"))
    assert told("output_root=there").startswith(
        f"error: {path.relative_to(tmp_path)}: model.depth: 7; accepted: "
    )


def test_save_without_a_key_is_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    assert cli.guard(lambda: print(workspace.save("depth_sweep", "quick"))) == 2
    assert capsys.readouterr() == ("", f"error: {account.NO_KEY}\n")
    assert server.requests == []


def test_save_sends_it_to_the_accounts_own_place(server: Server) -> None:
    address = workspace.save("depth_sweep", "quick")
    assert address.startswith(f"{server.url}/student/degradation")
    [view] = server.views
    assert view["type"] == "project-view"
    assert (view["entityName"], view["displayName"]) == ("student", "depth_sweep, quick")
    assert "wandb_workspaces" in sys.modules


def test_save_where_the_server_is_away_is_one_line(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.kill()
    assert cli.guard(lambda: print(workspace.save("depth_sweep", "quick"))) == 2
    line = f"error: W&B's server {server.url}: no connection\n"
    assert capsys.readouterr() == ("", line)
