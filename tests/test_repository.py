"""What the repository promises to its host: pinned workflows, small rights, make targets."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    """Read a workflow."""
    return yaml.safe_load(request.param.read_text(encoding="utf-8"))


def steps(workflow):
    """List all steps of all jobs."""
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_workflows():
    assert [path.stem for path in WORKFLOWS] == ["check", "weekly"]


def test_actions_are_pinned_by_their_commit(workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    loose = [name for name in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)]
    assert used and not loose


def test_rights_are_small(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        own = job.get("permissions", {})
        assert not own or name == "publish" and own == {"pages": "write", "id-token": "write"}


def test_steps_are_make_targets(workflow):
    commands = [step["run"] for step in steps(workflow) if "run" in step]
    for command in commands:
        assert re.fullmatch(r"make (\w+)", command) and command.split()[1] in TARGETS


def test_ci_runs_what_the_workflows_run():
    ours = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "\nmake test\n" in ours and "\nmake book\n" in ours
