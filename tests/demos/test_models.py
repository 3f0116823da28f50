"""The clients against a real HTTP server, with errors, slowness, truncation and nonsense."""

import base64
import sys

import pytest

from expertgen.demos.writing.models import Message, ModelConfig, NoAnswer, connect
from expertgen.errors import UsageError
from tests.model_server import Reply, anthropic_said, refused, said, serving

pytest.importorskip("openai", reason="needs the extra llm")
pytest.importorskip("anthropic", reason="needs the extra llm")

KEY = "sk-secret-0123456789"
HELLO = [Message("user", "hello")]
BROKEN = '{"choices": [{"message": {"con'


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def ask(server, messages=HELLO, **options):
    url = server.url.removesuffix("/v1") if options.get("provider") == "anthropic" else server.url
    config = ModelConfig(**{"model": "toy", "base_url": url, "timeout": 20.0, "retries": 1} | options)
    return connect(config).ask("be brief", messages)


def test_openai_request_and_answer():
    with serving(said("hi")) as server:
        turns = [Message("user", "look", b"png"), Message("assistant", "yes"), Message("user", "again")]
        answer = ask(server, turns, max_tokens=50)
    (path, headers, body), *others = server.requests
    assert not others
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body["model"] == "toy"
    assert body["max_tokens"] == 50
    url = f"data:image/png;base64,{base64.b64encode(b'png').decode()}"
    picture = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
    roles = [("system", "be brief"), ("user", picture), ("assistant", "yes"), ("user", "again")]
    assert body["messages"] == [{"role": role, "content": content} for role, content in roles]
    assert (answer.text, answer.model, answer.stop) == ("hi", "toy-1", "end")
    assert (answer.tokens_in, answer.tokens_out) == (100, 20)


def test_anthropic_request_and_answer():
    with serving(anthropic_said("hi", "max_tokens")) as server:
        answer = ask(server, [Message("user", "look", b"png")], provider="anthropic", max_tokens=50)
    ((path, headers, body),) = server.requests
    assert path == "/v1/messages"
    assert KEY in headers.get("x-api-key", headers.get("authorization", ""))  # which one depends on its version
    assert (body["model"], body["max_tokens"], body["system"]) == ("toy", 50, "be brief")
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"png").decode()}
    content = [{"type": "text", "text": "look"}, {"type": "image", "source": source}]
    assert body["messages"] == [{"role": "user", "content": content}]
    assert (answer.text, answer.model, answer.stop) == ("hi", "claude-toy", "length")
    assert (answer.tokens_in, answer.tokens_out) == (100, 20)


@pytest.mark.parametrize(
    ("text", "stop", "ends"), [(None, "stop", "end"), ("", "stop", "end"), ("cut", "length", "length")]
)
def test_empty_and_cut_answers_are_answers(text, stop, ends):
    with serving(said(text, stop)) as server:
        answer = ask(server)
    assert (answer.text, answer.stop) == (text or "", ends)


FINAL = {
    401: "refuses the key in OPENAI_API_KEY (401: no good); set another",
    403: "refuses the key in OPENAI_API_KEY (403: no good); set another",
    404: "has no model 'toy' (404: no good); name another with --model",
    400: "refuses the request (400: no good)",
}


@pytest.mark.parametrize("status", FINAL)
def test_refusals_that_asking_again_does_not_mend(status):
    with serving(refused(status, "no good"), said("hi")) as server, pytest.raises(NoAnswer) as error:
        ask(server)
    assert str(error.value) == f"{server.url} {FINAL[status]}"
    assert error.value.exit_code == 2
    assert "no good" in error.value.received
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "hitch",
    [
        refused(429, "slow down"),
        refused(500, "oops"),
        refused(529, "overloaded"),
        Reply(BROKEN),
        Reply(BROKEN, missing=100),
        Reply("<html>a proxy says hello</html>", content_type="text/html"),
        Reply({"choices": []}),
        Reply("null"),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_may_go_better_is_tried_again(hitch, provider):
    good = said("hi") if provider == "openai" else anthropic_said("hi")
    with serving(hitch, good) as server:
        assert ask(server, provider=provider).text == "hi"
    assert len(server.requests) == 2


LASTING = {
    "rate": (
        refused(429, "slow down"),
        "limits the rate, tried 2 times (429: slow down); wait, then go on with --resume",
    ),
    "server": (refused(500, "oops"), "failed, tried 2 times (500: oops); wait, then go on with --resume"),
    "silent": (Reply("", 503), "failed, tried 2 times (503: no reason given); wait, then go on with --resume"),
    "broken": (Reply(BROKEN), f"does not answer as openai does; it sent: {BROKEN}"),
    "page": (Reply("<p>hello</p>", content_type="text/html"), "does not answer as openai does; it sent: <p>hello</p>"),
    "nothing": (Reply(""), "does not answer as openai does; it sent: nothing"),
}


@pytest.mark.parametrize("kind", LASTING)
def test_what_does_not_go_better_ends_in_one_line(kind):
    reply, words = LASTING[kind]
    with serving(reply, reply, said("hi")) as server, pytest.raises(NoAnswer) as error:
        ask(server)
    assert str(error.value) == f"{server.url} {words}"
    assert error.value.exit_code == 1
    assert error.value.received == (reply.body if isinstance(reply.body, str) else error.value.received)
    assert len(server.requests) == 2


def test_slow_answers():
    slow = Reply(said("hi").body, delay=1.0)
    with (
        serving(slow) as server,
        pytest.raises(NoAnswer, match=r"gave no answer within 0\.2 s; raise --timeout") as error,
    ):
        ask(server, timeout=0.2, retries=0)
    assert error.value.exit_code == 1


def test_nobody_there():
    with serving() as server:
        pass
    with pytest.raises(NoAnswer, match=r"cannot reach http://127\.0\.0\.1:\d+/v1: .*; check --base-url") as error:
        ask(server, retries=0)
    assert error.value.exit_code == 1


def test_keys_that_a_server_quotes_are_blacked_out():
    with serving(refused(401, f"Incorrect API key provided: {KEY}.")) as server, pytest.raises(NoAnswer) as error:
        ask(server)
    assert KEY not in str(error.value) + error.value.received
    assert "[key]" in str(error.value)
    with serving(said(f"your key is {KEY}")) as server:
        assert ask(server).text == "your key is [key]"


def test_no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("ANTHROPIC_API_KEY", " ")
    with pytest.raises(UsageError, match="no key: set OPENAI_API_KEY in the environment"):
        connect(ModelConfig("toy"))
    with pytest.raises(UsageError, match="no key: set ANTHROPIC_API_KEY in the environment"):
        connect(ModelConfig("claude-toy"))
    with serving(said("hi")) as server:  # local servers need none
        assert ask(server).text == "hi"


def test_no_model():
    with pytest.raises(UsageError, match="which model"):
        connect(ModelConfig())


def test_keys_and_addresses_that_cannot_be(monkeypatch):
    with pytest.raises(UsageError, match=r"--base-url must begin with http:// or https://, unlike 'localhost:8000/v1'"):
        connect(ModelConfig("toy", base_url="localhost:8000/v1"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk–0123")  # a dash of a word processor
    with pytest.raises(UsageError, match="the key in OPENAI_API_KEY has characters that no key has") as error:
        connect(ModelConfig("toy"))
    assert "0123" not in str(error.value)


def test_provider_and_cost():
    assert ModelConfig("claude-toy").protocol == "anthropic"
    assert ModelConfig("claude-toy", base_url="http://localhost").protocol == "openai"
    assert ModelConfig("toy").protocol == "openai"
    assert ModelConfig("toy", provider="anthropic").protocol == "anthropic"
    assert ModelConfig("toy", price_in=3.0, price_out=15.0).cost(2_000_000, 100_000) == 7.5
    assert ModelConfig("toy", price_in=3.0).cost(1, 1) is None
    with pytest.raises(UsageError, match=r"model\.timeout must be positive"):
        ModelConfig("toy", timeout=0.0)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UsageError, match=r"the package 'openai' is missing: pip install 'expertgen\[llm\]'"):
        connect(ModelConfig("toy"))
