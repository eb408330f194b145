from __future__ import annotations

import importlib.util
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scholar.errors import SettingsError
from scholar.library import embedding
from scholar.library.embedding import MINILM, NONE, Embedder, OnnxEmbedder, TorchEmbedder, choose

HAS_MINILM = importlib.util.find_spec("torch") and importlib.util.find_spec(
    embedding.MINILM_PACKAGE
)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with torch but without any model."""
    monkeypatch.setattr(embedding, "_torch_is_there", lambda: True)
    monkeypatch.setattr(embedding, "MINILM_PACKAGE", "no_such_package_of_weights")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server


def download_from(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    url = f"http://127.0.0.1:{port}/onnx.tar.gz"
    monkeypatch.setattr(embedding._onnx_class(), "MODEL_DOWNLOAD_URL", url)


def weights(folder: Path) -> Path:
    """Something under the name of a model's weights, in `folder`."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"no weights")
    (folder / "config.json").write_text("{}")
    return folder


def fill_onnx_cache() -> None:
    folder = embedding._onnx_folder() / "onnx"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"")


def test_none_is_bm25_alone_whatever_is_at_hand() -> None:
    fill_onnx_cache()
    assert choose("none") == NONE


@pytest.mark.usefixtures("bare")
def test_auto_prefers_the_package_then_the_model_cache_then_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose("auto", offline=True) == NONE
    fill_onnx_cache()
    assert "ONNX" in choose("auto", offline=True).how
    hub = tmp_path / "hub" / f"models--sentence-transformers--{MINILM}"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text("abc")
    cached = weights(hub / "snapshots" / "abc")
    assert str(cached) in choose("auto", offline=True).how
    package = tmp_path / "site" / "some_package_of_weights"
    shipped = weights(package / "model")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(embedding, "MINILM_PACKAGE", package.name)
    choice = choose("auto", offline=True)
    assert choice.name == MINILM
    assert str(shipped) in choice.how


@pytest.mark.usefixtures("bare")
def test_a_package_without_its_weights_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "an_emptied_package_of_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(embedding, "MINILM_PACKAGE", package.name)
    assert choose("auto", offline=True) == NONE


@pytest.mark.usefixtures("bare")
def test_auto_without_torch_leaves_the_weights_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_torch_is_there", lambda: False)
    monkeypatch.setattr(embedding, "_minilm_folder", lambda: weights(tmp_path / "w"))
    assert choose("auto", offline=True) == NONE


def test_a_folder_is_taken_as_it_is_under_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_torch_is_there", lambda: True)
    folder = weights(tmp_path / "mine")
    assert choose(str(folder)).name == str(folder)


def test_the_weights_of_minilm_keep_their_name_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_torch_is_there", lambda: True)
    folder = weights(tmp_path / "copy")
    ours = embedding._sha256(folder / "model.safetensors")
    monkeypatch.setattr(embedding, "MINILM_SHA256", ours)
    assert choose(str(folder)).name == MINILM


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not the folder of a model"):
        choose(str(tmp_path))


def test_a_folder_without_torch_is_refused_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_torch_is_there", lambda: False)
    with pytest.raises(SettingsError, match=r"pip install 'scholar\[local\]'"):
        choose(str(weights(tmp_path / "mine")))


def test_weights_that_are_not_those_expected_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="are not those of all-MiniLM-L6-v2"):
        TorchEmbedder(weights(tmp_path / "w"), MINILM, sha256=embedding.MINILM_SHA256)


def test_onnx_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(SettingsError, match="neither cached nor to be downloaded"):
        choose("onnx", offline=True)


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_a_refused_connection_costs_no_time(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    download_from(monkeypatch, listener.getsockname()[1])
    listener.close()
    began = time.monotonic()
    assert choose("auto") == NONE
    assert time.monotonic() - began < 0.5


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_a_silent_network_costs_three_seconds(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    download_from(monkeypatch, listener.getsockname()[1])
    began = time.monotonic()
    assert choose("auto") == NONE
    assert time.monotonic() - began < 3.5


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("how", [{"offline": True}, {"fetch": False}])
def test_nobody_is_asked_who_should_not_be(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket, how: dict[str, Any]
) -> None:
    download_from(monkeypatch, listener.getsockname()[1])
    assert choose("auto", **how) == NONE
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


class _Portal(BaseHTTPRequestHandler):
    """A hotel's network: every address has the same friendly page."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"<html>Please log in.</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def portal() -> Iterator[int]:
    """The port of a `_Portal`."""
    with HTTPServer(("127.0.0.1", 0), _Portal) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
def test_a_download_that_is_not_the_model_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch, portal: int
) -> None:
    download_from(monkeypatch, portal)
    began = time.monotonic()
    assert choose("auto") == NONE
    assert time.monotonic() - began < 0.5
    assert not list(embedding._onnx_folder().iterdir())


@pytest.mark.slow
def test_onnx_takes_no_texts_as_well() -> None:
    assert OnnxEmbedder().embed([]).shape[0] == 0


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    """The real all-MiniLM-L6-v2."""
    if not HAS_MINILM:
        pytest.skip("all-MiniLM-L6-v2 is not installed; pip install 'scholar[local]'")
    load = choose("auto", offline=True).load
    assert load is not None
    return load()


@pytest.mark.slow
def test_vectors_are_of_unit_length_and_in_the_order_of_the_texts(minilm: Embedder) -> None:
    texts = [f"Sentence {n} {'goes on and ' * (n * 37 % 50)}ends." for n in range(70)]
    together = minilm.embed(texts)
    assert together.shape == (70, 384)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    for n in (0, 1, 33, 69):
        np.testing.assert_allclose(together[n], minilm.embed([texts[n]])[0], atol=1e-5)


@pytest.mark.slow
def test_what_means_alike_lies_closer(minilm: Embedder) -> None:
    cat, kitten, bonds = minilm.embed(["cat", "kitten", "bond market"])
    assert cat @ kitten > 0.6 > 0.3 > cat @ bonds


@pytest.mark.slow
def test_no_texts_have_no_vectors(minilm: Embedder) -> None:
    assert minilm.embed([]).shape[0] == 0


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs torch")
def test_a_folder_whose_model_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    load = choose(str(weights(tmp_path / "broken"))).load
    assert load is not None
    with pytest.raises(SettingsError, match="no model that can be loaded"):
        load()
