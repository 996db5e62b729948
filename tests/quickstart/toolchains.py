"""What each language needs on the machine, and where it keeps what it downloads."""

import os
import re
import shlex
import shutil
from pathlib import Path

TOOLS = {
    "rust": ["cargo", "cc"],
    "python": ["python3"],
    "javascript": ["node", "npm"],
    "java": ["java", "javac", "mvn"],
    "go": ["go"],
    "dotnet": ["dotnet"],
}

# Where whatever else a page's packages bring along stands with a version.
PINNED = Path(__file__).resolve().parents[1] / "sdk" / "python" / "requirements.txt"

# Written without the tools to run them: only run when named.
NOT_BY_DEFAULT = {"dotnet"}


def missing(language: str) -> list[str]:
    """The tools that this machine does not have."""
    return [tool for tool in TOOLS.get(language, []) if shutil.which(tool) is None]


def environment(target: Path) -> dict[str, str]:
    """Variables for every package manager: downloads stay below the target directory, and a minute of trouble is borne."""
    cache = target / "sdk" / "quickstart"
    cache.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "PIP_RETRIES": "8",
        "npm_config_fetch_retries": "4",
        "CARGO_NET_RETRY": "8",
        "PIP_CACHE_DIR": str(cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        # A new release of grpcio or protobuf is no news about the page.
        "PIP_CONSTRAINT": str(PINNED),
        "npm_config_cache": str(cache / "npm"),
        "npm_config_update_notifier": "false",
        "GOMODCACHE": str(cache / "go-mod"),
        "GOCACHE": str(cache / "go-build"),
        # Go makes its cache read-only otherwise, and `rm -r` then fails on it.
        "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip(),
        "MAVEN_OPTS": f"{os.environ.get('MAVEN_OPTS', '')} -Dmaven.repo.local={cache / 'maven'}".strip(),
        "NUGET_PACKAGES": str(cache / "nuget"),
        # Dependencies that the checkout has built are not built again.
        "CARGO_TARGET_DIR": str(target),
        "CARGO_TERM_COLOR": "never",
    }


GIT_DEPENDENCY = re.compile(r'^everdure = \{ git = "[^"]+" \}$', re.MULTILINE)


def adapt(title: str, text: str, root: Path) -> tuple[str, str | None]:
    """A file of a page as it is run here, and what was changed.

    The page names the repository, which a test cannot build from: it has to take this checkout.
    """
    if Path(title).name != "Cargo.toml":
        return text, None
    path = f'everdure = {{ path = "{root / "crates" / "sdk"}" }}'
    changed, times = GIT_DEPENDENCY.subn(lambda _: path, text)
    if times != 1:
        raise ValueError(f"{title}: the line with the git dependency `everdure` is there {times} times instead of once")
    return changed, "the git dependency is replaced by the path of this checkout"


# Go tries once only.
GO = """#!/usr/bin/env bash
. {retry}
case $1 in get) retry {go} "$@" ;; *) exec {go} "$@" ;; esac
"""


def add_patient_go(root: Path, tools: Path) -> None:
    """Puts a `go` before the machine's own that downloads again what could not be had."""
    program = tools / "go"
    own = shutil.which("go") or "go"
    program.write_text(GO.format(retry=shlex.quote(str(root / "scripts" / "retry.sh")), go=shlex.quote(own)))
    program.chmod(0o755)


PROFILE = re.compile(r"^\[profile\..*?(?=^\[(?!profile)|\Z)", re.MULTILINE | re.DOTALL)


def prepare(language: str, root: Path, work: Path, tools: Path) -> None:
    """Makes what a page needs beside its own files; what is in `tools` comes before the machine's programs."""
    if language == "go":
        add_patient_go(root, tools)
    elif language == "rust":
        build_alike(root, work)


def build_alike(root: Path, work: Path) -> None:
    """Has a Rust project build as the checkout does: the same versions, the same profiles, so the same artefacts."""
    profiles = PROFILE.findall((root / "Cargo.toml").read_text())
    (work / ".cargo").mkdir()
    (work / ".cargo" / "config.toml").write_text("\n".join(profiles))


def seed_lock(title: str, root: Path) -> str | None:
    """A command that puts the checkout's versions beside a new `Cargo.toml`."""
    if Path(title).name != "Cargo.toml":
        return None
    return f"cp '{root / 'Cargo.lock'}' '{Path(title).with_name('Cargo.lock')}'"
