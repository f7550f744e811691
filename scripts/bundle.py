"""Pack what a GPU machine without a network lacks into offline/: wheels, and the commit's name
(`make bundle`).

The machine is taken to have PyTorch, torchvision and what these bring along.
"""

import argparse
import shlex
import subprocess
import sys
from importlib import metadata

from packaging.requirements import Requirement

from degradation import cli, environment
from degradation.records import write_json

FOLDER = environment.COMMIT.parent
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
SOURCE_ONLY = ("antlr4-python3-runtime",)
"""Published without a wheel; the wheel built of it is for any machine."""


def needs(name: str, seen: set[str]) -> set[str]:
    """The distribution and all that it asks for, by the names under which they are installed."""
    if name not in seen:
        seen.add(name)
        for text in metadata.requires(name) or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                needs(wanted.name.lower().replace("_", "-"), seen)
    return seen


def fetch(names: set[str], python: str) -> None:
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    pinned = {name: f"{name}=={metadata.version(name)}" for name in sorted(names)}
    built = [pinned.pop(name) for name in SOURCE_ONLY if name in pinned]
    wheels = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(FOLDER / "wheels")]
    _run([*wheels, *built])
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    download = [*pip, "download", "--no-deps", "--only-binary=:all:", "--python-version", python]
    command = [*download, *platforms, "-d", str(FOLDER / "wheels"), *pinned.values()]
    _run(command)


def _run(command: list[str]) -> None:
    if subprocess.run(command, check=False).returncode:
        raise OSError(f"pip could not get the wheels: {shlex.join(command)}")


def main(python: str, without: list[str]) -> None:
    there = needs("torch", set()) | needs("torchvision", set())
    fetch(needs("degradation", set()) - {"degradation"} - there - set(without), python)
    write_json(environment.COMMIT, environment.code_state())
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    print(f"{FOLDER.name}/: {size / 2**20:.0f} MiB for Python {python} on Linux, x86-64")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default="3.12", help="the machine's, for example 3.12")
    parser.add_argument("--without", nargs="*", default=[], help="packages to leave out")
    options = parser.parse_args()
    sys.exit(cli.guard(lambda: main(options.python, options.without)))
