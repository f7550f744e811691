"""What is installed, told without loading it: PyTorch may be what is broken."""

import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from degradation.doctor.page import NOTE, OK, PROBLEM, Line
from degradation.doctor.plan import Asked

SHOWN = ("torch", "torchvision", "hydra-core", "wandb", "numpy")


def look(_: Asked) -> Iterator[Line]:
    yield Line(OK, "Python", f"{platform.python_version()}, {sys.executable}")
    found = [f"{name} {version}" for name in SHOWN if (version := installed(name))]
    # torchvision's compiled part works with one version of torch only, which its own needs name
    wrong = [line for package in ("degradation", "torchvision") for line in unmet(package)]
    if wrong:
        yield Line(PROBLEM, "packages", "; ".join(wrong), "make setup, and use .venv/bin/python")
    elif not installed("degradation"):
        versions = f"{', '.join(found)}; run from its folder, so not compared with what is needed"
        yield Line(NOTE, "packages", versions)
    else:
        yield Line(OK, "packages", ", ".join(found))


def installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def unmet(package: str) -> Iterator[str]:
    """What a package needs and does not find; nothing of one that is not installed."""
    for text in (metadata.requires(package) or []) if installed(package) else []:
        need = Requirement(text)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        version = installed(need.name)
        if version is None:
            yield f"{need.name}: not installed, {package} needs {need}"
        elif not need.specifier.contains(version, prereleases=True):
            yield f"{need.name} {version}: {package} needs {need}"
