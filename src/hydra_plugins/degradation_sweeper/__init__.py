"""Hydra's basic sweeper, with one difference: an axis on the command line replaces the
experiment's.

Hydra joins the two lists, so that `+experiment=depth_sweep seed=5` would run every seed-5 run once
for each seed of the experiment.
"""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class AxesSweeper(BasicSweeper):
    def sweep(self, arguments: list[str]) -> Any:
        given = {argument.lstrip("+").partition("=")[0] for argument in arguments}
        self.params = {key: axis for key, axis in (self.params or {}).items() if key not in given}
        return super().sweep(arguments)
