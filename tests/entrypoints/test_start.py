"""What a command imports before it needs it: the time that a person waits for help, or for a dry run."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted(path.stem for path in (ROOT / "entrypoints").glob("*.py") if "program.run(main)" in path.read_text())
HEAVY = ("tensorflow", "keras", "sklearn", "scipy.stats", "matplotlib", "plotly", "pandas", "optuna", "mlflow", "numpy")


def loaded(code: str, folder: Path) -> set[str]:
    """Return which of the heavy modules are there after this code has run in a new process."""
    code = f"{code}\nimport json, sys\nsys.stderr.write(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""},
                         capture_output=True, text=True, check=True)  # fmt: skip
    return set(json.loads(run.stderr.splitlines()[-1]))


def test_options_are_read_before_anything_heavy_is_imported(tmp_path):
    assert {"ablation", "search", "train", "promote", "predict"} <= set(PROGRAMS)
    assert loaded("\n".join(f"import entrypoints.{name}" for name in PROGRAMS), tmp_path) == set()


def test_a_dry_run_imports_neither_tensorflow_nor_what_draws(tmp_path):
    words = ["--data", "digits", "--dry_run", "true"]
    found = loaded(f"from entrypoints import ablation\nablation.main.main({words!r}, standalone_mode=False)", tmp_path)
    assert found <= {"mlflow", "numpy", "optuna", "pandas"}
    assert not list(tmp_path.iterdir())
