"""What every backend and server showed of the contract, as the table of docs/backends.md.

`python tests/benchmarks/contract.py`; LITELLM_FOR_TESTS names the `litellm` of an environment.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parents[1]))

import test_contract
from contract_servers import LITELLM, run_example

TESTS = Path(__file__).parents[1]
Case = ElementTree.Element
EXAMPLE = "`ollama`, the example, before a server that answers as Ollama does"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        ours, example = at / "ours.xml", at / "example.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"--junitxml={ours}", str(TESTS / "test_contract.py")]
        subprocess.run(command, cwd=TESTS.parent, stdout=sys.stderr, check=False)
        run_example(at, f"--junitxml={example}")
        print("\n".join(_table(ours, example)))


def _table(ours: Path, example: Path) -> Iterator[str]:
    yield f"With {_versions()}:"
    yield ""
    yield "| what | passed | skipped | failed |"
    yield "|---|---|---|---|"
    cases = list(ElementTree.parse(ours).iter("testcase"))
    for name, cls in vars(test_contract).items():
        if name.startswith("Test"):
            yield _row(str(cls.__doc__), _of(name, cases))
    yield _row(EXAMPLE, _of("TestOllama", ElementTree.parse(example).iter("testcase")))


def _versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("openai", "transformers"))
    return f"Python {platform.python_version()}, {packages}, {_litellm()}"


def _litellm() -> str:
    if not LITELLM:
        return "no LiteLLM"
    asked = subprocess.run([LITELLM, "--version"], capture_output=True, text=True, check=True)
    return f"LiteLLM {asked.stdout.split()[-1]}"


def _of(name: str, cases: Iterable[Case]) -> list[Case]:
    return [case for case in cases if case.get("classname", "").endswith(f".{name}")]


def _row(about: str, cases: list[Case]) -> str:
    skipped: Counter[str] = Counter()
    failed: list[str] = []
    for case in cases:
        left_out = case.find("skipped")
        if left_out is not None and left_out.get("type") == "pytest.xfail":
            failed.append(f"{_words(case)}: {left_out.get('message')}")
        elif left_out is not None:
            skipped[str(left_out.get("message"))] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            failed.append(_words(case))
    passed = len(cases) - skipped.total() - len(failed)
    reasons = "; ".join(f"{count}: {why}" for why, count in skipped.items())
    return f"| {about} | {passed} | {reasons} | {'; '.join(failed)} |"


def _words(case: Case) -> str:
    return str(case.get("name")).removeprefix("test_").replace("_", " ")


if __name__ == "__main__":
    main()
