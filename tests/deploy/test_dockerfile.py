"""deploy/Dockerfile: what can be known of it without Docker."""

from __future__ import annotations

import re
from fnmatch import fnmatch

from tests.deploy.settings import ROOT

FILE = ROOT / "deploy" / "Dockerfile"


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", FILE.read_text("utf-8"), flags=re.MULTILINE))
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def test_two_stages_on_one_pinned_image() -> None:
    build, final = stages()
    images = {stage[0][1].partition(" ")[0] for stage in (build, final)}
    assert len(images) == 1 and re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", images.pop())
    assert not [rest for word, rest in final if word == "RUN" and "pip" in rest]


def test_everything_is_installed_by_hash() -> None:
    installs = [rest for word, rest in stages()[0] if word == "RUN" and "pip install" in rest]
    locked, project = installs
    assert "--require-hashes -r requirements/build.txt -r requirements/engines.txt" in locked
    assert "--no-deps --no-build-isolation ." in project


def test_it_runs_as_a_number_that_is_not_root() -> None:
    users = [rest for word, rest in stages()[-1] if word == "USER"]
    assert users == ["10001:10001"]
    words = [word for word, _ in stages()[-1]]
    assert words.index("USER") > words.index("RUN")
    assert ("ENTRYPOINT", '["shop-order"]') in stages()[-1] and ("CMD", '["serve"]') in stages()[-1]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_in = [line[1:].rstrip("/") for line in ignored if line.startswith("!")]
    copied = [rest.split()[:-1] for word, rest in stages()[0] if word == "COPY"]
    for source in (name for names in copied for name in names):
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in let_in), source


def test_what_the_project_file_names_is_copied() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    named = re.findall(r'^(?:readme|license-files) = \[?"([^"]+)"', text, re.MULTILINE)
    copied = " ".join(rest for word, rest in stages()[0] if word == "COPY")
    assert named and all(name in copied for name in named)
