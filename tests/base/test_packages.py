import re
from importlib.metadata import version
from pathlib import Path

from study.base.packages import pinned
from study.inference.serving.log_model import REQUIREMENTS

LIST = Path(__file__).parents[2] / "requirements.txt"


def test_a_package_is_pinned_with_all_that_it_needs():
    pins = pinned("alembic")
    assert pins[0] == f"alembic=={version('alembic')}"
    assert {f"{name}=={version(name)}" for name in ("sqlalchemy", "mako", "markupsafe")} < {*pins}
    assert pinned("numpy") == (f"numpy=={version('numpy')}",)


def test_what_a_server_needs_is_what_the_project_pins():
    lines = LIST.read_text().splitlines()
    ours = {re.split(r" ;| *#", line)[0].strip() for line in lines if "==" in line}
    assert {*pinned(*REQUIREMENTS)} <= ours
