"""What stands below the figures: what is shown, of which data set and preset, and how many runs."""

from degradation.analysis.curves import Study
from degradation.analysis.series import has_test_at_the_end_alone, milestones, shown_at_the_end
from degradation.analysis.style import Drawing
from degradation.records import DIVERGED


def curves(study: Study) -> str:
    shown = study.without_variants()
    several = "mean over seeds, band from the best seed to the worst"
    how = several if shown.has_spread else "one run an arm"
    drops = "; dotted lines where the learning rate drops" if milestones(shown) else ""
    last = f"{study.test_name} a marker at the end" if has_test_at_the_end_alone(shown) else ""
    return (
        f"Error over iterations on {shown.scope}, {shown.seeds_text}: training dashed, "
        f"{last or f'{study.test_name} solid'}; {how}{drops}."
        + _diverged(shown, "goes on at 90 %")
        + curve_images(study)
        + _left_out(study)
    )


def final_error(study: Study) -> str:
    shown = shown_at_the_end(study)
    several = "mean over seeds with Student's 95 % interval; each seed a dot"
    how = several if shown.has_spread else "one run an arm"
    lost = _diverged(shown, "counts as 90 %")
    left_out = "" if shown is study else _left_out(study)
    return f"Last iterate on {shown.scope}, {shown.seeds_text}: {how}.{lost}{left_out}"


def own(study: Study, figure: Drawing) -> str:
    """Of a single experiment's figure; n of all arms that it shows."""
    if not figure.is_measured:
        return figure.caption
    shown = figure.shows(study)
    what = shown.scope[:1].upper() + shown.scope[1:]
    return f"{figure.caption} {what}, {shown.seeds_text}."


def _diverged(study: Study, what: str) -> str:
    return f" A diverged run {what}." if any(run.status == DIVERGED for run in study.runs) else ""


def _left_out(study: Study) -> str:
    others = [variant for variant in study.variants if variant]
    return f" Without the arms with overrides: {', '.join(others)}." if others else ""


def curve_images(study: Study) -> str:
    """Which images the curves are measured on, where a config says so."""
    sizes = {
        tuple(
            run.config.get("trainer", {}).get(f"curve_{part}_images") for part in ("train", "test")
        )
        for run in study.runs
    }
    looks = {run.config.get("trainer", {}).get("eval_every") for run in study.runs}
    if len(sizes) != 1 or not all(size := sizes.pop()) or looks == {0}:
        return ""
    return (
        f" The curves are measured on the same {size[0]:,} training and {size[1]:,} "
        f"{study.test_name} images throughout, the last iterate on all."
    )
