"""Size budget of the code (docs: CONTRIBUTING in README): small files, small functions. Exit 1 when it is broken.

Files: 90 % at or under 300 lines, none over 500. Functions: 90 % at or under 25 lines, none over 60.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("libs", "services", "tests", "tools")
FILE_P90, FILE_MAX, FUNCTION_P90, FUNCTION_MAX = 300, 500, 25, 60


def percentile(values: list[int], share: float) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def functions(path: Path, text: str) -> list[tuple[int, str]]:
    return [
        (node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    ]


def main() -> int:
    files: list[tuple[int, str]] = []
    bodies: list[tuple[int, str]] = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            files.append((text.count("\n"), str(path.relative_to(ROOT))))
            bodies.extend(functions(path, text))
    broken = [f"{lines} lines, at most {FILE_MAX}: {name}" for lines, name in files if lines > FILE_MAX]
    broken += [f"{lines} lines, at most {FUNCTION_MAX}: {name}" for lines, name in bodies if lines > FUNCTION_MAX]
    for label, rows, limit in (("files", files, FILE_P90), ("functions", bodies, FUNCTION_P90)):
        value = percentile([lines for lines, _ in rows], 0.9)
        print(f"{label}: {len(rows)}, p90 {value} lines (budget {limit}), longest {max(lines for lines, _ in rows)}")
        if value > limit:
            broken.append(f"p90 of {label} is {value} lines, budget {limit}")
    for line in broken:
        print(f"over budget: {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
