"""`scholar models pull`, from a hub on loopback."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from command_line import Ran, command
from filelock import FileLock
from hub_server import LARGE, HubServer, Repo
from huggingface_hub import constants
from injected import closed_port

from scholar.backends import pull as pulling

TOKEN = "hf_SECRETtoken123"
REPO = "tiny/model"
ID = f"local:{REPO}"
WEIGHTS = random.Random(1).randbytes(30_000)
TEXTS = {"config.json": b'{"a": 1}', "tokenizer.json": b"{}", "chat_template.jinja": b"{{ x }}"}
WHOLE = {**TEXTS, "model.safetensors": WEIGHTS}


@pytest.fixture(scope="module")
def _hub() -> Iterator[HubServer]:
    with HubServer() as hub:
        yield hub


@pytest.fixture
def hub(_hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """A hub with a small model, and a cache with nothing in it."""
    _hub.reset()
    _hub.repos[REPO] = Repo(WHOLE)
    places = {
        "ENDPOINT": _hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": _hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
        "HF_HUB_OFFLINE": False,
    }
    for name, value in places.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(pulling, "PAUSES", (0.0,))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("SCHOLAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCHOLAR_EMBEDDER", "none")
    return _hub


def run(*arguments: str) -> Ran:
    return command("models", "pull", *arguments)


def cached(repo: str = REPO) -> dict[str, bytes]:
    """What loading finds in the cache."""
    folder = Path(huggingface_hub.snapshot_download(repo, local_files_only=True))
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# --- what is fetched


def test_a_model_is_fetched_to_where_loading_finds_it(hub: HubServer) -> None:
    code, out, err = run(ID)
    assert (code, cached()) == (0, WHOLE)
    assert "tiny/model is fetched: 30.0 kB of 30.0 kB in 4 files" in out
    assert "30.0 kB in 4 files" in err


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"pytorch_model.bin": b"x" * 9, "onnx/model.onnx": b"x"}, {"model.safetensors"}),
        ({"original/consolidated.00.pth": b"x", "README.md": b"x"}, {"model.safetensors"}),
        ({"model.fp16.safetensors": b"x", "model-Q4_K_M.gguf": b"x"}, {"model.safetensors"}),
    ],
)
def test_only_what_loading_needs_is_fetched(
    hub: HubServer, more: dict[str, bytes], wanted: set[str]
) -> None:
    hub.repos[REPO] = Repo(WHOLE | more)
    assert run(ID)[0] == 0
    assert cached().keys() == TEXTS.keys() | wanted


@pytest.mark.parametrize(("stem", "kind"), [("model", "safetensors"), ("pytorch_model", "bin")])
def test_weights_in_pieces_are_fetched_by_their_index(hub: HubServer, stem: str, kind: str) -> None:
    pieces = {f"{stem}-0000{n}-of-00002.{kind}": WEIGHTS[n:] for n in (1, 2)}
    index = {"weight_map": dict(zip("ab", pieces, strict=True))}
    wanted = {**TEXTS, **pieces, f"{stem}.{kind}.index.json": json.dumps(index).encode()}
    hub.repos[REPO] = Repo(wanted | {f"consolidated.{kind}": b"x", "model.onnx.index.json": b"{}"})
    assert run(ID)[0] == 0
    assert cached() == wanted


def test_an_adapter_is_fetched_beside_its_base(hub: HubServer) -> None:
    adapter = {"adapter_config.json": b'{"peft_type": "LORA"}', "adapter_model.safetensors": b"ad"}
    more = {"tokenizer.json": b"{}", "checkpoint-9/adapter_model.safetensors": b"old"}
    hub.repos["tiny/adapter"] = Repo(adapter | more)
    assert run(f"{ID}+tiny/adapter")[0] == 0
    assert (cached(), cached("tiny/adapter")) == (WHOLE, adapter)


def test_an_adapter_that_mixes_experts_is_fetched_with_them(hub: HubServer) -> None:
    experts = {f"{n}/adapter_{what}": b"x" for n in (0, 1) for what in ("config.json", "model.bin")}
    adapter = {"adapter_config.json": b'{"peft_type": "XLORA"}', "adapter_model.bin": b"ad"}
    hub.repos["tiny/adapter"] = Repo(adapter | experts | {"0/README.md": b"x"})
    assert run("local:tiny/adapter")[0] == 0
    assert cached("tiny/adapter") == adapter | experts


def test_files_of_the_same_content_are_fetched_once(hub: HubServer) -> None:
    hub.repos[REPO] = Repo(WHOLE | {"special_tokens_map.json": b"{}", "vocab.json": b"{}"})
    assert run(ID)[0] == 0
    assert cached()["vocab.json"] == b"{}"


def test_all_configured_models_are_fetched_and_servers_have_their_own(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    others = ["openai:gpt-5-mini", "openai:qwen3:8b@http://localhost:11434/v1"]
    monkeypatch.setenv("SCHOLAR_MODEL", json.dumps([ID, f"local:{tmp_path}/own", *others]))
    code, out, _ = run()
    assert (code, cached()) == (0, WHOLE)
    assert "own is a folder" in out
    assert "gpt-5-mini: nothing to fetch, as its server has the weights" in out
    assert "ollama pull qwen3:8b" in out


def test_the_embedder_is_fetched_where_it_is_one_of_the_hub(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOLAR_EMBEDDER", "auto")
    monkeypatch.setattr("scholar.library.embedding.MINILM_PACKAGE", "no_such_package")
    repo = "sentence-transformers/all-MiniLM-L6-v2"
    hub.repos[repo] = Repo(WHOLE | {"1_Pooling/config.json": b"{}", "tf_model.h5": b"x"})
    assert run()[0] == 0
    assert cached(repo) == WHOLE
    code, _, err = run()
    assert (code, "set SCHOLAR_MODEL" in err) == (2, True)


# --- again


def test_what_is_there_is_not_fetched_again(hub: HubServer) -> None:
    run(ID)
    hub.asked.clear()
    code, out, _ = run(ID)
    assert (code, [one.path for one in hub.asked]) == (0, [f"/api/models/{REPO}"])
    assert "is here already" in out


def test_of_a_newer_version_only_what_changed_is_fetched(hub: HubServer) -> None:
    run(ID)
    hub.asked.clear()
    newer = WHOLE | {"config.json": b'{"a": 2}'}
    hub.repos[REPO] = Repo(newer, commit="ab" * 20)
    assert run(ID)[0] == 0
    assert cached() == newer
    assert not hub.downloads("model.safetensors")


def test_a_download_that_breaks_off_goes_on_from_there(hub: HubServer) -> None:
    hub.repos[REPO].cuts += [10_000, 5_000]
    code, out, _ = run(ID)
    assert (code, cached()) == (0, WHOLE)
    ranges = [one.range for one in hub.downloads("model.safetensors")]
    assert ranges == [None, "bytes=10000-", "bytes=15000-"]
    assert "30.0 kB of 30.0 kB" in out


def test_the_next_run_goes_on_where_the_last_gave_up(hub: HubServer) -> None:
    hub.repos[REPO].cuts += [10_000, 0, 0]
    code, out, _ = run(ID)
    assert code == 4
    assert "run scholar models pull again to go on from there" in out
    hub.asked.clear()
    code, out, _ = run(ID)
    assert (code, cached()) == (0, WHOLE)
    assert [one.range for one in hub.downloads("model.safetensors")] == ["bytes=10000-"]
    assert "20.0 kB of 30.0 kB" in out


def test_a_server_that_knows_no_ranges_sends_all_anew(hub: HubServer) -> None:
    hub.repos[REPO].cuts += [10_000]
    hub.repos[REPO].ranges = False
    code, _, _ = run(ID)
    assert (code, cached()) == (0, WHOLE)


def test_a_file_that_arrived_damaged_is_dropped(hub: HubServer) -> None:
    hub.repos[REPO].damaged = WEIGHTS[::-1]
    code, out, _ = run(ID)
    assert code == 4
    assert "did not arrive as the hub has it" in out
    hub.repos[REPO].damaged = b""
    assert (run(ID)[0], cached()) == (0, WHOLE)


def test_two_processes_do_not_fetch_the_same(hub: HubServer, tmp_path: Path) -> None:
    run(ID)
    with FileLock(tmp_path / "cache" / ".locks" / "models--tiny--model" / "pull.lock"):
        code, out, _ = run(ID)
    assert code == 4
    assert "is being fetched by another process; wait" in out


# --- what cannot be had


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (401, "GatedRepo", "accept them at {url}/tiny/model, run hf auth login"),
        (403, "", "does not let you have tiny/model; run hf auth login"),
        (401, "RepoNotFound", "The hub has no tiny/model that you may read; check the name"),
        (404, "RepoNotFound", "The hub has no tiny/model that you may read; check the name"),
        (429, "", "answers with 429 for tiny/model; try again later"),
        (503, "", "answers with 503 for tiny/model; try again later"),
    ],
)
def test_what_the_hub_refuses_ends_in_what_to_do(
    hub: HubServer, status: int, code: str, advice: str
) -> None:
    hub.repos[REPO] = Repo({}, status, code)
    exit_code, out, _ = run(ID)
    assert exit_code == 4
    assert advice.format(url=hub.url) in out
    assert not huggingface_hub.try_to_load_from_cache(REPO, "config.json")


def test_files_that_are_gated_though_their_list_is_not_are_named_so(hub: HubServer) -> None:
    hub.repos[REPO].gated = True
    code, out, _ = run(ID)
    assert code == 4
    assert "accept them at" in out


def test_a_model_that_fails_does_not_keep_the_others_from_coming(hub: HubServer) -> None:
    code, out, _ = run("local:no/such", ID)
    assert (code, cached()) == (4, WHOLE)
    assert "!! local:no/such: The hub has no no/such" in out


def test_without_a_network_that_is_said(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as nowhere:
        monkeypatch.setattr(constants, "ENDPOINT", nowhere)
        code, out, _ = run(ID)
    assert code == 4
    assert "cannot be reached for tiny/model; check the network" in out


def test_what_is_here_is_enough_without_a_network(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(ID)
    with closed_port() as nowhere:
        monkeypatch.setattr(constants, "ENDPOINT", nowhere)
        code, out, _ = run(ID)
    assert code == 0
    assert "is here; whether the hub has a newer version is not known" in out


def test_an_answer_that_is_no_hubs_is_told_from_one(hub: HubServer) -> None:
    hub.repos[REPO].commit = "../../evil"
    code, out, _ = run(ID)
    assert code == 4
    assert "is no hub; check HF_ENDPOINT" in out


def test_offline_nothing_is_asked(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHOLAR_OFFLINE", "1")
    code, out, _ = run(ID)
    assert code == 4
    assert "tiny/model is not on this machine, and offline is set; unset it" in out
    monkeypatch.setenv("SCHOLAR_OFFLINE", "0")
    run(ID)
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, out, _ = run(ID)
    assert (code, hub.asked) == (0, [])
    assert "is here" in out


def test_half_a_model_is_not_taken_for_one_offline(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[REPO].cuts += [0, 0]
    run(ID)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, out, _ = run(ID)
    assert code == 4
    assert "HF_HUB_OFFLINE is set" in out


def test_a_disk_that_is_too_small_is_found_out_before(hub: HubServer) -> None:
    hub.repos[REPO].sizes = {"model.safetensors": 10**18}
    code, out, _ = run(ID)
    assert code == 4
    assert re.search(r"1,000,000,000.0 GB are missing, and \S+ has room for [\d.,]+ GB", out)
    assert "set HF_HOME" in out
    assert not hub.downloads("model.safetensors")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("local:a/b/c", "'a/b/c' is no model of the hub"),
        ("local:./nowhere", "There is no folder ./nowhere"),
    ],
)
def test_a_name_that_is_none_is_refused(hub: HubServer, name: str, words: str) -> None:
    code, out, _ = run(name)
    assert code == 4
    assert words in out
    assert not hub.asked


def test_a_model_without_weights_that_can_be_loaded_is_refused(hub: HubServer) -> None:
    hub.repos[REPO] = Repo({**TEXTS, "model-Q4_K_M.gguf": WEIGHTS})
    code, out, _ = run(ID)
    assert code == 4
    assert "has no weights that can be loaded here" in out


# --- the token


def test_the_token_is_sent_to_the_hub_alone(hub: HubServer) -> None:
    assert run(ID)[0] == 0
    for one in hub.asked:
        elsewhere = one.host.startswith("localhost")
        assert one.token == (None if elsewhere else f"Bearer {TOKEN}"), one
    assert any(one.host.startswith("localhost") for one in hub.asked)


# --- to the end

ANSWER = """
import asyncio
from scholar.backends import Message, Request, open_backend
from scholar.settings import Settings

async def main():
    backend = open_backend("local:tiny/model", Settings(local={"device": "cpu"}))
    request = Request((Message("user", "Hello?"),), schema={
        "type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
        "additionalProperties": False}, max_tokens=40)
    print("".join([delta.text async for delta in backend.stream(request)]))
    await backend.aclose()

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_fetched_model_answers_without_a_network(hub: HubServer, tmp_path: Path) -> None:
    from models import make

    made = make(tmp_path / "made")
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    hub.repos[REPO] = Repo(files, cuts=[LARGE // 2])
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": TOKEN,
    }

    def python(*arguments: str, **more: str) -> Any:
        command = [sys.executable, *arguments]
        run = subprocess.run(
            command, env=environment | more, capture_output=True, text=True, check=False
        )
        assert "SECRET" not in run.stdout + run.stderr
        assert run.returncode == 0, run.stderr
        return run.stdout

    assert "tiny/model is fetched" in python("-m", "scholar", "models", "pull", ID)
    hub.asked.clear()
    assert json.loads(python("-c", ANSWER, HF_HUB_OFFLINE="1")).keys() == {"ok"}
    assert not hub.asked
