"""Reaching a language model: Anthropic, or any endpoint that speaks OpenAI's protocol, local servers included.

The vendors' own packages do the talking and the retries (extra `llm`). Keys come from the environment alone, and are
blacked out in everything that comes back: servers quote them in their refusals.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import tyro

from expertgen.errors import ExpertgenError, UsageError
from expertgen.runs.ranges import Count, Natural, NotNegative, Positive, check_ranges

KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
"""Environment variable that holds each provider's key."""

_NO_KEY = "no-key-needed"
"""What a server with a base URL of its own is told where there is no key."""

_REFUSALS = {400, 401, 403, 404, 413, 422}
"""Answers that would be the same at the next try."""


@dataclass(frozen=True)
class ModelConfig:
    """Which model is asked, and how."""

    model: str = ""
    """Name of the model, as its server knows it."""
    provider: Literal["anthropic", "openai"] | None = None
    """Protocol; by default anthropic for models named claude... without a base URL, else openai."""
    base_url: str | None = None
    """Server to ask instead of the provider's own, e.g. http://localhost:8000/v1."""
    max_tokens: Count = 16000
    """Longest answer [tokens], with what the model thinks before it."""
    timeout: Positive = 600.0
    """Longest wait for an answer [s]."""
    retries: Natural = 4
    """Further tries after rate limits, server errors, timeouts and unreadable answers."""
    price_in: NotNegative | None = None
    """Price of a million tokens of prompts, in any currency."""
    price_out: NotNegative | None = None
    """Price of a million tokens of answers."""

    def __post_init__(self) -> None:
        check_ranges(self, "model")

    @property
    def protocol(self) -> Literal["anthropic", "openai"]:
        """The provider, given or inferred."""
        if self.provider is not None:
            return self.provider
        return "anthropic" if self.model.startswith("claude") and self.base_url is None else "openai"

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """What tokens cost; None where a price is not given."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6


FlatModelConfig = Annotated[ModelConfig, tyro.conf.arg(name="")]
"""As options without a prefix."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        text: what is said.
        image: a PNG file shown with it, or None.
    """

    role: Literal["user", "assistant"]
    text: str
    image: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: as it came.
        model: the model's name, as the server gives it.
        stop: `"end"`, `"length"` where the answer was cut off, or the server's own word.
        tokens_in: of the prompt, as the server counts them.
        tokens_out: of the answer.
        seconds: how long it took, retries included.
    """

    text: str
    model: str
    stop: str
    tokens_in: int
    tokens_out: int
    seconds: float = field(compare=False)


class NoAnswer(ExpertgenError):
    """There is no answer to be had.

    Attributes:
        received: what came instead, or empty.
        exit_code: 2 where asking again is of no use, else 1.
    """

    def __init__(self, text: str, received: str, final: bool) -> None:
        super().__init__(text)
        self.received = received
        self.exit_code = 2 if final else 1


@runtime_checkable
class Model(Protocol):
    """Whatever answers."""

    def ask(self, system: str, messages: Sequence[Message]) -> Answer:
        """Continues a conversation.

        Args:
            system: what the model is told about its part.
            messages: turns so far, the last one the user's.

        Raises:
            NoAnswer: if none comes, or nothing that is one.
        """
        ...


def connect(config: ModelConfig) -> Model:
    """Prepares a model; nothing is sent yet.

    Raises:
        UsageError: if no model is named, the key is missing or the extra `llm` is not installed.
    """
    if not config.model:
        raise UsageError("which model? Name it with --model, or look at the prompt alone with --dry-run")
    provider = config.protocol
    key = os.environ.get(KEYS[provider], "").strip()
    if not key and config.base_url is None:
        raise UsageError(
            f"no key: set {KEYS[provider]} in the environment, name a server without one with --base-url, or look at "
            "the prompt alone with --dry-run"
        )
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"the key in {KEYS[provider]} has characters that no key has; set it again")
    if config.base_url is not None and not config.base_url.startswith(("http://", "https://")):
        raise UsageError(f"--base-url must begin with http:// or https://, unlike {config.base_url!r}")
    try:
        return _OpenAI(config, key) if provider == "openai" else _Anthropic(config, key)
    except ImportError:
        raise UsageError(f"the package {provider!r} is missing: pip install 'expertgen[llm]'") from None


class _OpenAI:
    """Chat completions."""

    def __init__(self, config: ModelConfig, key: str) -> None:
        import openai

        self._talk = _Talk(config, key, openai)
        self._client = openai.OpenAI(
            api_key=key or _NO_KEY, base_url=config.base_url, timeout=config.timeout, max_retries=config.retries
        )
        # OpenAI's own models refuse the old name of this limit, and many other servers do not know the new one.
        self._limit = "max_tokens" if config.base_url else "max_completion_tokens"

    def ask(self, system: str, messages: Sequence[Message]) -> Answer:
        turns = [{"role": "system", "content": system}]
        turns += [{"role": message.role, "content": _openai_content(message)} for message in messages]
        request = {"model": self._talk.config.model, "messages": turns, self._limit: self._talk.config.max_tokens}
        return self._talk.answer(lambda: self._client.chat.completions.with_raw_response.create(**request), _of_openai)


class _Anthropic:
    """Messages."""

    def __init__(self, config: ModelConfig, key: str) -> None:
        import anthropic

        self._talk = _Talk(config, key, anthropic)
        self._client = anthropic.Anthropic(
            api_key=key or _NO_KEY, base_url=config.base_url, timeout=config.timeout, max_retries=config.retries
        )

    def ask(self, system: str, messages: Sequence[Message]) -> Answer:
        turns = [{"role": message.role, "content": _anthropic_content(message)} for message in messages]
        config = self._talk.config
        request: dict[str, Any] = {"model": config.model, "max_tokens": config.max_tokens, "messages": turns}
        return self._talk.answer(
            lambda: self._client.messages.with_raw_response.create(system=system, **request), _of_anthropic
        )


class _Talk:
    """What both packages have in common: one request, and everything that can come of it."""

    def __init__(self, config: ModelConfig, key: str, package: Any) -> None:
        self.config = config
        self._key = key
        self._package = package  # both have the same classes of errors

    def answer(self, send: Callable[[], Any], read: Callable[[Any], Answer]) -> Answer:
        """Sends until an answer can be read; the package itself repeats what failed on the way."""
        start, received = time.monotonic(), ""
        for _ in range(self.config.retries + 1):
            try:
                raw = send()
            except self._package.APIStatusError as error:
                raise self._refused(error) from None
            except self._package.APITimeoutError:
                raise NoAnswer(
                    f"{self._server} gave no answer within {self.config.timeout:g} s; raise --timeout", "", False
                ) from None
            except self._package.APIConnectionError as error:
                why = self._safe(str(error.__cause__ or error))
                raise NoAnswer(f"cannot reach {self._server}: {why}; check --base-url", "", False) from None
            try:
                received = self._safe(raw.http_response.text)
                found = read(raw.parse())
            except (ValueError, TypeError, AttributeError, LookupError, self._package.APIError):
                continue
            seconds = time.monotonic() - start
            return Answer(
                self._safe(found.text), found.model, found.stop, found.tokens_in, found.tokens_out, round(seconds, 2)
            )
        what = " ".join(received.split())[:120] or "nothing"
        raise NoAnswer(
            f"{self._server} does not answer as {self.config.protocol} does; it sent: {what}", received, False
        )

    def _refused(self, error: Any) -> NoAnswer:
        status, received = error.status_code, self._safe(error.response.text)
        said = f"{status}: {_said(error.body) or ' '.join(received.split()) or 'no reason given'}"
        said = self._safe(said)[:300]
        if status in (401, 403):
            text = f"{self._server} refuses the key in {KEYS[self.config.protocol]} ({said}); set another"
        elif status == 404:
            text = f"{self._server} has no model {self.config.model!r} ({said}); name another with --model"
        elif status == 429:
            text = f"{self._server} limits the rate, {self._tries} ({said}); wait, then go on with --resume"
        elif status in _REFUSALS:
            text = f"{self._server} refuses the request ({said})"
        else:
            text = f"{self._server} failed, {self._tries} ({said}); wait, then go on with --resume"
        return NoAnswer(text, received, status in _REFUSALS)

    def _safe(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    @property
    def _server(self) -> str:
        return self.config.base_url or self.config.protocol

    @property
    def _tries(self) -> str:
        return f"tried {self.config.retries + 1} times"


def _said(body: Any) -> str:
    """The message in the body of a refusal, in one line."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    message = inner.get("message", "") if isinstance(inner, dict) else ""
    return " ".join(str(message).split())


def _of_openai(completion: Any) -> Answer:
    choice, usage = completion.choices[0], completion.usage
    stop = {"stop": "end"}.get(choice.finish_reason, choice.finish_reason)
    tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return Answer(choice.message.content or "", str(completion.model), str(stop), *map(int, tokens), seconds=0.0)


def _of_anthropic(message: Any) -> Answer:
    text = "".join(block.text for block in message.content if block.type == "text")
    stop = {"end_turn": "end", "max_tokens": "length"}.get(message.stop_reason, message.stop_reason)
    tokens = message.usage.input_tokens, message.usage.output_tokens
    return Answer(text, str(message.model), str(stop), *map(int, tokens), seconds=0.0)


def _openai_content(message: Message) -> Any:
    if message.image is None:
        return message.text
    url = f"data:image/png;base64,{base64.b64encode(message.image).decode()}"
    return [{"type": "text", "text": message.text}, {"type": "image_url", "image_url": {"url": url}}]


def _anthropic_content(message: Message) -> Any:
    if message.image is None:
        return message.text
    data = base64.b64encode(message.image).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    return [{"type": "text", "text": message.text}, {"type": "image", "source": source}]
