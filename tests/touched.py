"""Name the test files that reach what has changed since main: what `make check` runs.

A test file is reached by a module that it imports, by itself, and by a file that it names. What
has only been touched counts as changed, once.
"""

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = [path for path in sorted((ROOT / "tests").glob("*.py")) if "built" not in path.name]


def changed() -> set[str]:
    """List the files that differ from main, or have been touched, as paths from the root."""

    def git(*arguments: str) -> list[str]:
        command = ["git", *arguments]
        return subprocess.check_output(command, cwd=ROOT, text=True).splitlines()

    touched = git("diff-files", "--name-only")  # first: the next command looks into the files
    known = git("for-each-ref", "--format=%(refname)", "refs/heads/main", "refs/remotes/*/main")
    base = git("merge-base", "HEAD", known[0])[0] if known else "HEAD"
    new = git("ls-files", "--others", "--exclude-standard")
    return {*touched, *git("diff", "--name-only", base), *new}


def module(path: str) -> str:
    """Return a file's name as a module; a figure's script has that of its class."""
    parts = Path(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str) -> set[str]:
    """List what Python source imports: modules, and names, which may be modules."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def main() -> None:
    """Print the test files, each on a line."""
    files = changed()
    modules = {module(path) for path in files}
    helpers = {path.stem for path in TESTS if path.relative_to(ROOT).as_posix() in files}
    for path in TESTS:
        source = path.read_text(encoding="utf-8")
        named = any(f'"{name}"' in source or f"/{name}" in source for name in files)
        if path.name.startswith("test_") and (
            named or path.stem in helpers or imported(source) & (modules | helpers)
        ):
            print(path.relative_to(ROOT).as_posix())


if __name__ == "__main__":
    main()
