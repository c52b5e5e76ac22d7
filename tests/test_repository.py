"""What the repository promises to its host: pinned workflows, small rights, make targets."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
NOTEBOOKS = len(list((ROOT / "book").glob("**/[!.]*.ipynb")))
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
        target = re.fullmatch(r"make (\w+)", command)
        assert target and target[1] in TARGETS or command.startswith("sudo apt-get install ")


def test_ci_runs_what_the_workflows_run():
    ours = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "\nmake test\nmake site\n" in ours


def test_what_repeats_the_address_follows_it(tmp_path):
    """`make address` in a copy, there and back."""
    subprocess.run(
        ["git", "checkout-index", "--all", f"--prefix={tmp_path}/"], cwd=ROOT, check=True
    )

    def git(*arguments):
        command = ["git", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout

    def move(url):
        command = ["make", "--silent", "address", f"URL={url}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    def said(name):
        return (tmp_path / name).read_text(encoding="utf-8")

    git("init")
    git("add", ".")
    old = yaml.safe_load(said("_config.yml"))["repository"]["url"]
    owner = "Some-One"  # by itself, or this file would have the address, too
    new = f"https://github.com/{owner}/her.copy"
    assert move(new).returncode == 0
    assert yaml.safe_load(said("_config.yml"))["repository"]["url"] == new
    assert not git("grep", "--name-only", "-e", old.removeprefix("https://github.com/"))
    assert len(git("grep", "-l", f"{new}/archive/main.zip", "book").split()) == NOTEBOOKS
    assert f"https://{owner.lower()}.github.io/her.copy/" in said("README.md")
    refused = move("git@github.com:some-one/copy.git")
    assert refused.returncode and "URL must be like https://github.com/" in refused.stderr
    assert move(old).returncode == 0 and not git("diff", "--name-only")


def test_the_readme_says_what_was_measured():
    """Its table is the one that a cell of part 5 makes of the recorded runs."""
    chapter = ROOT / "book/5-practice/how-far-from-the-papers.ipynb"
    cells = nbformat.read(chapter, as_version=4).cells
    outputs = [each for cell in cells for each in cell.get("outputs", [])]
    tables = [each.get("data", {}).get("text/markdown", "").strip() for each in outputs]
    (in_short,) = [table for table in tables if table.startswith("| in short")]
    assert in_short in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_wheel_holds_what_the_notebooks_need(tmp_path):
    """Built from what git knows: scripts and weights of figures, and the recorded runs."""
    command = f"git checkout-index --all --prefix={tmp_path}/src/"
    subprocess.run(command.split(), cwd=ROOT, check=True)
    pip = "-m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir"
    subprocess.run([sys.executable, *pip.split(), tmp_path, tmp_path / "src"], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 15e6
    held = set(zipfile.ZipFile(wheel).namelist())
    own = subprocess.check_output(["git", "ls-files", "meta_lib", "results"], cwd=ROOT, text=True)
    needed = {re.sub("^results/", "meta_lib/recorded/", name) for name in own.splitlines()}
    without = r".*/((maml-[^/]*begun-[^/]*|siamese-[^/]*wide)/model\.safetensors|\.gitignore)"
    needed = {name for name in needed if not re.fullmatch(without, name)}
    assert sorted(needed - held) == []
