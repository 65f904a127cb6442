"""The guides in docs/ and the CI workflow: their commands and code work as they stand."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from harness.spec import PROJECT
from tests import repository

GUIDES = sorted((PROJECT / "docs").glob("*.md"))
WORKFLOW = PROJECT / ".github" / "workflows" / "validate.yml"


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [(guide.stem, command) for guide in GUIDES for command in repository.commands(guide)]


@pytest.mark.parametrize(("guide", "command"), COMMANDS)
def test_a_command_of_a_guide_works(guide: str, command: str, tmp_path: Path) -> None:
    """The model file of the first guide is the reader's own: that one is only read as a spec."""
    repository.check(command, tmp_path)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_guide_shows_its_files_as_they_are_and_links_to_what_is_there(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    shown = [
        block for language in ("python", "yaml") for block in fenced(text, language) if block.startswith("# docs/")
    ]
    for block in shown:
        first, _, rest = block.partition("\n")
        assert rest == (PROJECT / first.removeprefix("# ")).read_text(encoding="utf-8")
    for block in fenced(text, "csv"):
        assert block in {path.read_text(encoding="utf-8") for path in (PROJECT / "docs" / "examples").glob("*.csv")}
    for block in fenced(text, "python"):
        ast.parse(block)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    assert [link for link in links if ":" not in link and not (guide.parent / link).exists()] == []


def test_the_architecture_page_has_a_sentence_for_every_module_as_it_is() -> None:
    writer = runpy.run_path(str(PROJECT / "docs" / "architecture.py"))
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert text == writer["page"](text), "python docs/architecture.py writes it anew"
    assert re.findall(r"^- `[^`]+`: *$", text, flags=re.MULTILINE) == []


def test_every_guide_is_named_by_the_readme() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert [guide.name for guide in GUIDES if f"docs/{guide.name}" not in text] == []


def test_the_workflow_gates_on_a_validation(tmp_path: Path) -> None:
    """A sanity check: GitHub reads it, its shell is shell, its commands are ours and exist."""
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert {"push", "pull_request"} <= set(workflow[True])  # YAML 1.1 reads the key `on` as true
    (job,) = workflow["jobs"].values()
    assert job["runs-on"].startswith("ubuntu-")
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    for script in scripts:
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    (line,) = re.findall(r"sudo -E (\.venv/bin/python run\.py .*?) \|\| code=\$\?", "\n".join(scripts))
    assert "gate.enabled=false" not in line
    repository.check(line, tmp_path)
    assert any(shlex.split(line)[:2] == ["make", "venv"] for script in scripts for line in script.splitlines())
    kept = next(step["with"]["path"] for step in job["steps"] if "upload-artifact" in step.get("uses", ""))
    assert "hydra.sweep.dir=" + kept.splitlines()[0] in line
