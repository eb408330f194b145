"""What a user installs is whole: the wheel, through an sdist, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import NOTES, ROOT

pytestmark = pytest.mark.slow

EVERYTHING = """
import importlib, importlib.util, json, sys
from importlib import resources
agents, names = json.loads(sys.argv[1])
from scholar import prompts
PAGE = ['page.css', 'page.js', *(f'{n}.html' for n in ('frame', 'parts', 'answer', 'ideas'))]
assert prompts.names() == names, prompts.names()
for name in names:
    values = {variable: '' for variable in prompts.variables(name)}
    texts = ('question', 'juror', 'missing', 'title', 'text', 'example', 'statement')
    values |= {key: 'text' for key in texts if key in values}
    values |= {key: 3 for key in ('most',) if key in values}
    assert prompts.render(name, **values).system
for agent in agents:
    importlib.import_module(f'scholar.agents.{agent}')
SHIPPED = (
    'answer.schema.json', 'events.schema.json', 'ideas.schema.json', 'presets.toml', 'prices.toml'
)
for file in ('py.typed', *SHIPPED, *(f'report/page/{name}' for name in PAGE)):
    assert resources.files('scholar').joinpath(file).is_file(), file
for name in ('agents', 'prompts', 'tests'):
    assert importlib.util.find_spec(name) is None, f'{name} was installed beside scholar'
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment that holds the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("packaging")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    [wheel] = folder.glob("*.whl")
    assert list(folder.glob("*.tar.gz")), "the wheel was not built through an sdist"
    _run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    bin = folder / "venv" / "bin"
    _run(bin / "pip", "install", "--quiet", wheel, "-c", ROOT / "constraints.txt", cwd=folder)
    return bin


def test_every_agent_imports_and_every_prompt_renders(installed: Path, tmp_path: Path) -> None:
    agents = sorted(file.stem for file in (ROOT / "agents").glob("*.py"))
    prompts = sorted(file.stem for file in (ROOT / "prompts").glob("*.md"))
    assert agents
    assert prompts
    _run(installed / "python", "-c", EVERYTHING, json.dumps([agents, prompts]), cwd=tmp_path)


def test_the_first_command_of_the_readme_quotes_the_right_note_without_network(
    installed: Path, tmp_path: Path
) -> None:
    done = _run(
        *_cut_off(),
        installed / "scholar",
        "ask",
        "How does HippoRAG 2 rank passages?",
        "--with",
        NOTES.relative_to(ROOT),
        cwd=ROOT,
        home=tmp_path,
    )
    assert "From RAG to Memory" in done.stdout
    assert "personalised PageRank" in done.stdout
    assert "71 added" in done.stderr
    assert "pip install 'scholar[local]'" in " ".join(done.stderr.split())
    for noise in ("Traceback", "Warning", "warn(", "None of PyTorch"):
        assert noise not in done.stderr + done.stdout


def _cut_off() -> list[str]:
    """What to put before a command so that it has no network, where the system can do that."""
    if shutil.which("unshare"):
        probe = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
        if probe.returncode == 0:
            return ["unshare", "-rn"]
    return ["env", "https_proxy=http://127.0.0.1:9", "http_proxy=http://127.0.0.1:9"]


def _run(
    *command: str | Path, cwd: Path, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    if home is not None:
        environment |= {"HOME": str(home), "SCHOLAR_HOME": str(home / "data"), "COLUMNS": "80"}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done
