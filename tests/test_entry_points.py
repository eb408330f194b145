"""Backends of other packages: found by the scheme of a model id, and kept from leaving offline."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scholar import prompts
from scholar.backends import open_backend, split_model_id
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.schema import Reply
from scholar.errors import SettingsError
from scholar.settings import Settings

Install = Callable[..., None]
TOY = """
from scholar.backends.fake import FakeBackend

def toy(name, settings, url):
    backend = FakeBackend(['{"ok": true}'], name)
    backend.opened = (name, settings, url)
    return backend
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package on the path, as pip would: its module and the entry points it declares."""

    def put(package: str, code: str = TOY, **entry_points: str) -> None:
        site = tmp_path / package
        module = package.replace("-", "_")
        about = site / f"{module}-1.0.dist-info"
        about.mkdir(parents=True)
        (site / f"{module}.py").write_text(code)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{scheme} = {module}:{name}" for scheme, name in entry_points.items()]
        (about / "entry_points.txt").write_text("\n".join(["[scholar.backends]", *lines]))
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return put


@pytest.mark.parametrize(
    ("model_id", "opened"),
    [
        ("toy:qwen3:8b", ("qwen3:8b", None)),
        ("toy:qwen3:8b@http://box:11434", ("qwen3:8b", "http://box:11434")),
    ],
)
def test_a_backend_is_opened_by_its_scheme(
    install: Install, model_id: str, opened: tuple[str, str | None]
) -> None:
    install("toy-pkg", toy="toy")
    settings = Settings()
    backend: Any = open_backend(model_id, settings)
    assert backend.opened == (opened[0], settings, opened[1])
    assert split_model_id(model_id) == opened


class _Hello(Reply):
    ok: bool


async def test_a_role_can_be_played_by_it(install: Install, tmp_path: Path) -> None:
    install("toy-pkg", toy="toy")
    settings = Settings(home=tmp_path, model="toy:tiny")
    gateway = Gateway(settings)
    ledger = Ledger(settings.budget, settings.price_of)
    assert gateway.model_name("writer") == "tiny"
    reply = await gateway.ask(prompts.render("hello"), _Hello, ledger=ledger)
    await gateway.aclose()
    assert reply == _Hello(ok=True)
    assert [call.model for call in ledger.calls] == ["tiny"]


def test_an_unknown_scheme_is_told_those_that_there_are(install: Install) -> None:
    install("toy-pkg", toy="toy")
    with pytest.raises(SettingsError, match=r"'tyo:x' names no model.* toy:NAME or local:NAME"):
        split_model_id("tyo:x")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import not_there", "ModuleNotFoundError"),
        ("raise RuntimeError('no\\nlicence')", "no licence"),
        ("", "AttributeError"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named_in_a_sentence(
    install: Install, code: str, why: str
) -> None:
    install("toy-pkg", code, toy="toy")
    with pytest.raises(SettingsError, match=why) as caught:
        open_backend("toy:x", Settings())
    message = str(caught.value)
    assert message.startswith("toy-pkg brings 'toy:'")
    assert message.endswith(".")
    assert "\n" not in message


def test_two_packages_with_one_scheme_are_both_named(install: Install) -> None:
    install("toy-one", toy="toy")
    install("toy-two", toy="toy")
    with pytest.raises(SettingsError, match=r"toy-one and toy-two .* uninstall all but one"):
        open_backend("toy:x", Settings())


def test_no_package_takes_over_a_scheme_of_ours(install: Install) -> None:
    install("toy-pkg", openai="toy", local="toy")
    with pytest.raises(SettingsError, match="names no model") as caught:
        split_model_id("toy:x")
    assert str(caught.value).count("local:NAME") == 1
    assert (
        type(open_backend("openai:x@http://127.0.0.1:1/v1", Settings())).__name__ != "FakeBackend"
    )


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("", "toy-pkg does not say that x stays"),
        ("toy.is_local = lambda name, settings, url: False", "toy-pkg says that x is not served"),
        ("async def is_local(name, settings, url): pass\ntoy.is_local = is_local", "toy-pkg says"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_offline_opens_none_that_does_not_say_it_stays_here(
    install: Install, says: str, why: str
) -> None:
    install("toy-pkg", f"{TOY}\n{says}", toy="toy")
    with pytest.raises(SettingsError, match=rf"offline is set, but {why}"):
        open_backend("toy:x", Settings(offline=True))


def test_offline_asks_a_backend_about_the_very_model(install: Install) -> None:
    install("toy-pkg", TOY + "\ntoy.is_local = lambda name, settings, url: name == 'x'", toy="toy")
    assert open_backend("toy:x", Settings(offline=True)).name == "x"
    with pytest.raises(SettingsError, match="y is not served on this machine"):
        open_backend("toy:y", Settings(offline=True))


def test_nothing_is_looked_up_for_schemes_of_ours() -> None:
    code = (
        "import sys; from scholar import backends;"
        "[backends.split_model_id(scheme + ':x') for scheme in ('openai', 'local')];"
        "sys.exit(backends._found_on.cache_info().misses)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
