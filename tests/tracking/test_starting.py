"""Whether W&B's server is there, found out before a run is started on it."""

import socket
import threading
import time
from pathlib import Path

import pytest
from tests.tracking.test_mirror import ROWS, arguments, config
from tests.wandb_server import KEY, Server

from degradation.tracking import mirror, starting


@pytest.mark.parametrize("status", [200, 404, 500])
def test_any_answer_is_one(status: int, server: Server) -> None:
    server.status = status
    starting.ask()
    assert not starting.is_away()


def test_a_server_that_hangs_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "ANSWER_S", 0.2)
    server.status = 0
    with pytest.raises(ConnectionError, match=f"^W&B's server {server.url}: no answer$"):
        starting.ask()
    assert server.hanging == 1  # asked once
    assert starting.is_away()


def test_a_server_that_is_being_restarted_is_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "REFUSED_S", 60)  # on a busy machine, too
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))  # and refuses, since it does not listen yet
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("WANDB_BASE_URL", address)

        def begin() -> None:
            time.sleep(0.5)
            listening.listen()
            connection, _ = listening.accept()
            connection.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")
            connection.close()

        restarted = threading.Thread(target=begin)
        restarted.start()
        starting.ask()
        restarted.join()
        assert not starting.is_away()


@pytest.mark.parametrize("address", ["wandb.example.org", "http://", "nonsense://somewhere"])
def test_what_is_no_address_is_left_to_wandb(
    address: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", address)
    starting.ask()
    assert not starting.is_away()
    assert server.asked == []


def test_the_question_carries_no_key(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1\n  login user\n  password {KEY}\n")
    netrc.chmod(0o600)
    starting.ask()
    [headers] = server.asked
    assert headers
    assert "Authorization" not in headers
    assert KEY not in str(headers)


def test_it_is_asked_through_the_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://wandb.invalid")
    monkeypatch.setenv("http_proxy", server.url)
    starting.ask()
    assert [headers["Host"] for headers in server.asked] == ["wandb.invalid"]


def test_it_is_asked_once_a_process_also_where_it_is_away(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (0, 1):
        with mirror.of_run(config(seed, "online"), **arguments(tmp_path, seed)) as copy:
            copy.log(ROWS[0])
            assert copy.url
    assert len(server.asked) == 1

    monkeypatch.setattr(starting, "_why_away", {})
    monkeypatch.setattr(starting, "ANSWER_S", 0.2)
    server.status = 0
    for seed in (2, 3):
        with mirror.of_run(config(seed, "online"), **arguments(tmp_path, seed)) as copy:
            copy.log(ROWS[0])
            assert copy.alive
            assert copy.url is None  # offline
    assert server.hanging == 1
    with (
        pytest.raises(ConnectionError, match="no answer"),
        mirror.of_run(config(4, "online"), **arguments(tmp_path, 4), falls_back=False),
    ):
        pass
