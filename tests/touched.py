"""Print the test files that reach what has changed since main: what `make check` runs.

A test file reaches the modules that it imports itself, and the files that it names. A file that
has only been touched counts as changed, once. The form of the notebooks is always tested.
"""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALWAYS = {"tests/test_notebooks.py"}


def changed() -> set[str]:
    """List the files that differ from main, or have been touched, as paths from the root."""

    def git(*arguments: str) -> list[str]:
        return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True).splitlines()

    touched = git("diff-files", "--name-only")  # first, since what comes next takes note of them
    main = git("for-each-ref", "--format=%(refname)", "refs/heads/main", "refs/remotes/*/main")
    since = git("merge-base", "HEAD", main[0])[0] if main else "HEAD"
    new = git("ls-files", "--others", "--exclude-standard")
    return {*touched, *new, *git("diff", "--name-only", since)}


def module(path: str) -> str:
    """Return a path as a module's name: `meta_lib.maml`."""
    return ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")


def imported(source: str) -> set[str]:
    """List what Python source imports, with the packages around it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found | {name.rsplit(".", depth)[0] for name in found for depth in (1, 2, 3)}


def reached(files: set[str], *patterns: str) -> set[str]:
    """List the files of these patterns that import or name one of the files, or are one."""
    packages = r"^(tests|book\._extensions|book\._translated)\."
    modules = {re.sub(packages, "", module(path)) for path in files}
    names = [re.escape(Path(path).name) for path in files if re.search(r"\.(?!py$)|Makefile", path)]
    named = re.compile(rf'[/"](?:{"|".join(names)})"')
    found = set()
    for path in [path for pattern in patterns for path in ROOT.glob(pattern)]:
        name, source = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if name in files or names and named.search(source) or imported(source) & modules:
            found.add(name)
    return found


def main() -> None:
    """Print them, each on a line."""
    files = changed()
    scripts = {path for path in files if path.endswith((".js", ".css"))}
    files |= reached(scripts, "meta_lib/moving/*.py", "tests/[!t]*.py")  # they name their scripts
    tests = ALWAYS | reached(files, "tests/test_*.py")
    print("\n".join(sorted(path for path in tests if "test_built" not in path)))


if __name__ == "__main__":
    main()
