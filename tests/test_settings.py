from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from scholar.errors import SettingsError
from scholar.settings import FILE_NAME, load, load_presets


def write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(text)


def test_later_places_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = 'model = "user"\npreset = "fast"\nconcurrency = 2\nsilence = 10'
    write(platformdirs.user_config_path("scholar"), user)
    write(tmp_path, 'preset = "near"\nconcurrency = 3\nsilence = 11')
    monkeypatch.setenv("SCHOLAR_CONCURRENCY", "4")
    monkeypatch.setenv("SCHOLAR_SILENCE", "12")
    settings = load(silence=13)
    found = (settings.model, settings.preset, settings.concurrency, settings.silence)
    assert found == ("user", "near", 4, 13)


def test_only_the_nearest_file_upwards_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 'model = "far"\npreset = "far"')
    write(tmp_path / "a", 'model = "near"')
    (tmp_path / "a" / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a" / "b")
    settings = load()
    assert (settings.model, settings.preset) == ("near", "standard")


def test_a_table_is_merged_from_all_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "[budget]\ndollars = 1\ntokens = 5")
    monkeypatch.setenv("SCHOLAR_BUDGET__DOLLARS", "0.5")
    budget = load().budget
    assert (budget.dollars, budget.tokens, budget.seconds) == (0.5, 5, None)


@pytest.mark.parametrize(
    ("toml", "unknown", "nearest"),
    [
        ('modle = "x"', "'modle'", "'model'"),
        ("[budget]\ndolars = 1", "'budget.dolars'", "'dollars'"),
        ('[models]\nplannr = "x"', "'models.plannr'", "'planner'"),
        ('[prices."m"]\ninput = 1\noutptu = 2', "'prices.m.outptu'", "'output'"),
        ("xyzzy = 1", "'xyzzy'", "one of api_key, arxiv, budget"),
    ],
)
def test_an_unknown_key_of_a_file_is_named_with_the_nearest(
    tmp_path: Path, toml: str, unknown: str, nearest: str
) -> None:
    write(tmp_path, toml)
    with pytest.raises(SettingsError) as caught:
        load()
    assert unknown in str(caught.value)
    assert nearest in str(caught.value)


@pytest.mark.parametrize(
    ("name", "unknown", "nearest"),
    [
        ("SCHOLAR_MODLE", "SCHOLAR_MODLE", "'SCHOLAR_MODEL'"),
        ("SCHOLAR_BUDGET__DOLARS", "'budget.dolars'", "'dollars'"),
        ("SCHOLAR_MODELS__PLANNR", "'models.plannr'", "'planner'"),
        ("SCHOLAR_PRESET__X", "SCHOLAR_PRESET__X", "'SCHOLAR_PRESET'"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, unknown: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError) as caught:
        load()
    assert unknown in str(caught.value)
    assert nearest in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = =", "not valid TOML"),
        (b'model = "\xff"', "not valid TOML"),
        (b'concurrency = "many"', "'concurrency' is unusable"),
        (b"concurrency = 0", "'concurrency' is unusable"),
        (b"[budget]\ndollars = -1", "'budget.dollars' is unusable"),
        (b"[prices.m]\ninput = 1", "'prices.m.output' is unusable"),
        (b"[tools]\noff = ['search']", r"unusable: 'search' is no tool: .*[.?] Correct it\.$"),
        (b"email = 'me'", r"unusable: 'me' is no address: write NAME@HOST .*[^.]\. Correct it\.$"),
    ],
)
def test_an_unusable_file_is_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        load()


def test_a_table_in_the_environment_that_is_no_json_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCHOLAR_BUDGET", "5 dollars")
    with pytest.raises(SettingsError, match="SCHOLAR_BUDGET__DOLLARS=1"):
        load()


def test_an_empty_variable_and_a_flag_of_none_count_as_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 'model = "file"')
    monkeypatch.setenv("SCHOLAR_MODEL", "")
    assert load(model=None).model == "file"


def test_the_home_may_begin_with_a_tilde(tmp_path: Path) -> None:
    assert load(home="~/papers").home == tmp_path / "user" / "papers"


def test_an_unknown_preset_is_refused_with_those_there_are(tmp_path: Path) -> None:
    write(tmp_path, 'preset = "fast"')
    settings = load()
    assert settings.preset_named(None) == load_presets()["fast"]
    assert settings.preset_named("standard") == load_presets()["standard"]
    with pytest.raises(SettingsError, match=r"'quick'.*fast, .*standard"):
        settings.preset_named("quick")


def test_a_price_of_ones_own_wins_and_an_unknown_one_is_none(tmp_path: Path) -> None:
    listed = load().price_of("gpt-5-mini")
    write(tmp_path, "[prices.gpt-5-mini]\ninput = 7\noutput = 8")
    own = load().price_of("gpt-5-mini")
    assert listed is not None
    assert own is not None
    assert (own.input, own.output) == (7, 8) != (listed.input, listed.output)
    assert load().price_of("nobody-knows") is None


def test_a_role_has_its_own_model_before_the_common_one() -> None:
    settings = load(model="openai:a", models={"juror": "openai:b"})
    assert settings.model_for("juror") == "openai:b"
    assert settings.model_for("writer") == "openai:a"


def test_there_are_models_only_when_every_role_has_one() -> None:
    roles = ("planner", "reader", "writer", "juror")
    assert not load().has_models()
    assert not load(models=dict.fromkeys(roles[:3], "openai:b")).has_models()
    assert load(models=dict.fromkeys(roles, "openai:b")).has_models()


def test_who_has_ideas_is_the_writer_where_nobody_is_named() -> None:
    assert load(model="openai:a").model_for("ideator") == "openai:a"
    named = load(models={"writer": "openai:w"})
    assert named.model_for("ideator") == "openai:w"
    assert load(models={"writer": "openai:w", "ideator": "openai:i"}).model_for("ideator") == (
        "openai:i"
    )


def test_the_key_is_never_shown() -> None:
    settings = load(api_key="sk-secret")
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "sk-secret"
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "sk-secret" not in shown
