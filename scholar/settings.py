"""Settings: which model plays which role, where data lies, and the bounds of a run.

Later sources win: the user's config folder, the nearest `scholar.toml` upwards of the working
folder, `SCHOLAR_*` in the environment, then flags. A key nobody knows is an error.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as UnreadableSource

from scholar.errors import SettingsError

ENV_PREFIX = "SCHOLAR_"
FILE_NAME = "scholar.toml"
Role = Literal["planner", "reader", "ideator", "writer", "juror"]
Juror = Literal[
    "support", "completeness", "conflict", "posteriori", "policy", "personas", "teaching"
]
Chain = str | tuple[str, ...]
"""One model id, or several in the order in which they are tried."""
_KEY = "[key]"
"""How pydantic marks that the key of a table is at fault, not its value."""
_CHAIN_KINDS = ("str", "tuple[str, ...]")
"""How pydantic names the two forms of a Chain, which are no keys."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Preset(_Strict):
    """A named combination of strategies and bounds; the fields are explained in presets.toml."""

    about: str
    cost: str
    gate: bool = False
    plan: Literal["question", "single", "chain", "follow_up", "graph", "tool_step"]
    rounds: int = Field(1, ge=1)
    steps: int = Field(ge=1)
    passages: int = Field(ge=1)
    reads: int | None = Field(None, ge=1)
    expand: Literal["no", "document", "statements"] = "no"
    search: str = "hybrid"
    filters: tuple[Literal["relevance", "brevity", "factuality", "recognition"], ...] = ()
    orders: int = Field(1, ge=1, le=2)
    read: Literal["separate", "combined"]
    jurors: tuple[Juror, ...] = Field(min_length=1)
    messages: int = Field(0, ge=0, le=8)
    revisions: int = Field(ge=0)
    searches: int = Field(ge=0)
    tokens: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _reads_apart_where_it_goes_on(self) -> Self:
        if self.read == "combined" and self.rounds > 1:
            raise ValueError("a preset that reads and writes in one call has one round")
        return self

    @property
    def can_review(self) -> bool:
        """Whether it can write a review, which is written from quotes that a reader chose."""
        return self.read == "separate"


class Jury(_Strict):
    """How votes are counted.

    `quorum` is how many jurors must have been readable for an answer to be called answered,
    `majority` the share of those that more than must agree, and `tie` which side wins where nothing
    reaches it: the more careful one, or the draft. `models` gives a juror a model of its own.
    """

    quorum: int = Field(1, ge=1)
    majority: float = Field(0.5, ge=0.5, lt=1)
    tie: Literal["careful", "accept"] = "careful"
    models: dict[Juror | Literal["critic"], str] = Field(default_factory=dict)

    def model_of(self, juror: str) -> str | None:
        """The id of the model that `juror` has of its own, if any."""
        return next((model for name, model in self.models.items() if name == juror), None)


class Price(_Strict):
    """US dollars per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Budget(_Strict):
    """What one run may use; None is no limit."""

    dollars: float | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0)
    seconds: float | None = Field(None, ge=0)
    gpu_seconds: float | None = Field(None, ge=0)


class Limit(_Strict):
    """What one model may be sent; None is no limit, and for `concurrency` the common setting."""

    tokens_per_minute: int | None = Field(None, ge=1)
    requests_per_minute: int | None = Field(None, ge=1)
    concurrency: int | None = Field(None, ge=1)


class Http(_Strict):
    """How every service of sources is asked. Times are in seconds."""

    timeout: float = Field(20.0, gt=0)
    """How long a service may send nothing."""
    patience: float = Field(300.0, gt=0)
    """How long one answer may take in all; a large PDF over a slow line is given its time."""
    retries: int = Field(2, ge=0)
    pause: float = Field(1.0, ge=0)
    """Before the first retry; twice as long before the next."""
    longest_wait: float = Field(30.0, ge=0)
    """How long a Retry-After is obeyed for; past that the user should decide."""
    failures: int = Field(5, ge=1)
    """After so many in a row, a host is left alone."""
    rest: float = Field(60.0, ge=0)
    """How long it is left alone."""


class Arxiv(_Strict):
    """Where arXiv answers. `delay` is the seconds between requests that its terms ask for."""

    api: str = "https://export.arxiv.org/api/query"
    pdf: str = "https://arxiv.org/pdf"
    html: str = "https://arxiv.org/html"
    delay: float = Field(3.0, ge=0)


class OpenAlex(_Strict):
    """Where OpenAlex answers; a key raises what it allows in a day. `delay` as with arXiv."""

    api: str = "https://api.openalex.org"
    delay: float = Field(0.1, ge=0)
    key: SecretStr | None = None


class SemanticScholar(_Strict):
    """Where Semantic Scholar answers; without a key, all the world shares one allowance."""

    api: str = "https://api.semanticscholar.org/graph/v1"
    delay: float = Field(1.0, ge=0)
    key: SecretStr | None = None


class Crossref(_Strict):
    """Where Crossref answers; its public pool allows one list a second."""

    api: str = "https://api.crossref.org"
    delay: float = Field(1.0, ge=0)


class Unpaywall(_Strict):
    """Where Unpaywall answers; its terms ask for `email`, so without one it is left out."""

    api: str = "https://api.unpaywall.org/v2"
    delay: float = Field(0.1, ge=0)


class Zotero(_Strict):
    """Where Zotero answers on this machine, and whose library; "users/0" is the user's own."""

    api: str = "http://localhost:23119/api"
    library: str = "users/0"


BuiltIn = Literal[
    "search_library",
    "search_arxiv",
    "fetch_paper",
    "references",
    "citations",
    "related_papers",
    "facts",
    "paths",
    "calculate",
]
_POSTGRES = ("postgresql://", "postgres://")
_SERVED = re.compile(r"[A-Za-z][\w-]*\.[\w-]+")
"""How a tool of a server of the user's own is called: SERVER.TOOL."""
_EMAIL = re.compile(r"[!-?A-~]+@[!-?A-~]+")
"""Printable ASCII without blanks, for it is sent in a header."""


class Tools(_Strict):
    """What tools may do, whatever a model asks for. Tools of a server are named SERVER.TOOL."""

    off: tuple[str, ...] = ()
    """Tools that are not used at all."""
    ask_first: tuple[str, ...] = ()
    """Tools that run only after a person has agreed, each time."""
    read_only: bool = False
    """No tool may write into the library, nor one run of which nobody knows what it does."""
    papers_per_run: int = Field(5, ge=0)
    """Papers that the tools of one run may add to the library."""

    @field_validator("off", "ask_first")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in get_args(BuiltIn) and not _SERVED.fullmatch(name):
                raise ValueError(f"'{name}' is no tool: {_nearest(name, get_args(BuiltIn))}")
        return names


class Mcp(_Strict):
    """A server of the user's own: a `command` that is started, with `env` beside a bare
    environment, or a `url`, asked with `headers`.

    Of its tools those in `trusted` ("*" is all) run without a person being asked.
    """

    command: tuple[str, ...] = ()
    env: dict[str, SecretStr] = Field(default_factory=dict)
    url: str = Field("", pattern=r"^(https?://[^\s/]+\S*)?$")
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    trusted: tuple[str, ...] = ()
    timeout: float = Field(30.0, gt=0)
    """Seconds that starting it, or one call, may take."""

    @model_validator(mode="after")
    def _reached_in_one_way(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("a server has either a command or a url")
        return self


class Runs(_Strict):
    """Where runs are kept, so that they can be resumed."""

    database: SecretStr | None = None
    """The URL of a PostgreSQL database, for several machines; else files in `home`."""

    @field_validator("database")
    @classmethod
    def _is_postgres(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(_POSTGRES):
            raise ValueError("runs are kept in PostgreSQL: postgresql://USER@HOST/NAME")
        return url


class Trace(_Strict):
    """What is written down of each run, in `traces` in `home`."""

    keep: bool = True
    """Whether its events are: the plan, the quotes, drafts and votes, and what each step cost."""
    content: bool = False
    """Whether what models were sent and replied is too, with the passages that they were shown."""


class Otlp(_Strict):
    """Where OpenTelemetry is sent; the variables OTEL_EXPORTER_OTLP_… are heeded too."""

    endpoint: str = Field("", pattern=r"^(https?://[^\s/]+\S*)?$")
    """The address of a collector, as http://localhost:4318; without one nothing is sent."""
    content: bool = False
    """Whether questions, prompts, replies and what tools are given are sent too."""


class Allowance(_Strict):
    """What may be used in a day (UTC); None is no limit. A question under way is finished."""

    questions: int | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0)
    dollars: float | None = Field(None, ge=0)


class Slack(_Strict):
    """The Slack bot. The tokens may also be in SLACK_BOT_TOKEN, SLACK_APP_TOKEN,
    SLACK_SIGNING_SECRET and SLACK_CONFIG_TOKEN.
    """

    bot_token: SecretStr | None = None
    app_token: SecretStr | None = None
    """For Socket Mode."""
    signing_secret: SecretStr | None = None
    """For HTTP."""
    config_token: SecretStr | None = None
    """Lets `--check` read what the app is set up for."""
    api: str = Field("https://slack.com/api/", pattern=r"^https?://[^\s/]+\S*/$")
    channels: tuple[str, ...] = ()
    """Ids of the channels it may be asked in; empty is all it is in. Direct messages always."""
    users: tuple[str, ...] = ()
    """Ids of those who may ask it; empty is everybody of the workspace, nobody from outside."""
    user_per_day: Allowance = Allowance(questions=50)
    channel_per_day: Allowance = Allowance(questions=200)
    concurrent: int = Field(4, ge=1)
    """Questions under way at a time; others wait in their order."""
    deeper: str = "deep"
    """The preset of the button `Dig deeper`."""
    largest_file: int = Field(50_000_000, ge=1)
    """Bytes of a file that is taken into the library."""
    errors: str = ""
    """Id of a channel or user that is told what the people who run the bot should know."""


class Local(_Strict):
    """How models run on this machine."""

    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """`auto` is the first of cuda, mps and cpu that is there."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is what the weights are stored in; on a CPU float32, which is faster there."""
    quantisation: Literal["none", "8bit", "4bit"] = "none"
    """Smaller weights, by bitsandbytes, to fit a model into memory."""
    max_batch: int = Field(16, ge=1)
    """Replies written at once; others wait."""
    thinking: bool = False
    """Whether a model that can do both thinks before it replies."""


class Settings(BaseSettings):
    """All settings, validated. Use `load` to read them from their places."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    home: Path = Field(default_factory=lambda: platformdirs.user_data_path("scholar"))
    """Where all data lies."""
    model: Chain | None = None
    """The model of every role: `openai:NAME`, `openai:NAME@URL` or `local:NAME`; None is evidence
    only. A list is a chain: where one model fails, the next stands in.
    """
    models: dict[Role, Chain] = Field(default_factory=dict)
    """Models of single roles, or chains of them, before `model`."""
    api_key: SecretStr | None = None
    """The key sent to every server; without it OPENAI_API_KEY goes to api.openai.com alone."""
    preset: str = "standard"
    embedder: str = "auto"
    """`auto`, `none`, `onnx`, or the folder of a sentence-transformers model."""
    reranker: str = ""
    """The folder of a cross-encoder, or its name in the model cache, for searches that rerank."""
    offline: bool = False
    """No request leaves this machine."""
    cache: bool = True
    """Replies are kept in `home`, and the same request at temperature 0 is not sent twice."""
    context_window: int = Field(32_768, ge=2_048)
    """Tokens a model takes in; a small default, since servers do not say."""
    silence: float = Field(300.0, gt=0)
    """Seconds a model may send nothing until its speed has been measured; generous, for a slow one
    on the user's own machine.
    """
    concurrency: int = Field(8, ge=1)
    """Requests to one model at a time."""
    limits: dict[str, Limit] = Field(default_factory=dict)
    """Limits of single models, by bare name."""
    budget: Budget = Budget()
    lessons: bool = False
    """What past questions were searched by is kept, and shown to the planner of a like one."""
    jury: Jury = Jury()
    prices: dict[str, Price] = Field(default_factory=dict)
    email: str = ""
    """What is named to bibliographic services, so that they can write before they block; Unpaywall
    asks for one.
    """
    http: Http = Http()
    arxiv: Arxiv = Arxiv()
    openalex: OpenAlex = OpenAlex()
    semanticscholar: SemanticScholar = SemanticScholar()
    crossref: Crossref = Crossref()
    unpaywall: Unpaywall = Unpaywall()
    zotero: Zotero = Zotero()
    slack: Slack = Slack()
    tools: Tools = Tools()
    mcp: dict[str, Mcp] = Field(default_factory=dict)
    """Servers whose tools may be used, by a name of letters, digits, - and _."""
    trace: Trace = Trace()
    otlp: Otlp = Otlp()
    local: Local = Local()
    runs: Runs = Runs()

    @field_validator("mcp")
    @classmethod
    def _named_plainly(cls, servers: dict[str, Mcp]) -> dict[str, Mcp]:
        for name in servers:
            if not _SERVED.fullmatch(f"{name}.tool"):
                raise ValueError(f"'{name}' is no name of a server: use letters, digits, - and _")
        return servers

    @field_validator("email")
    @classmethod
    def _fits_a_header(cls, email: str) -> str:
        if email and not _EMAIL.fullmatch(email):
            raise ValueError(f"{email!r} is no address: write NAME@HOST in plain ASCII")
        return email

    @field_validator("home")
    @classmethod
    def _in_full(cls, home: Path) -> Path:
        return Path(os.path.expanduser(home))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = [TomlConfigSettingsSource(settings_cls, path) for path in config_files()]
        return (init_settings, env_settings, *files)

    def chain_for(self, role: Role) -> tuple[str, ...]:
        """The model ids that play `role` in the order of trying; empty where there is none."""
        chain = self.models.get(role, self.model) or ()
        if role == "ideator" and not chain:  # a writer is what comes nearest to one
            return self.chain_for("writer")
        return tuple(dict.fromkeys((chain,) if isinstance(chain, str) else chain))

    def model_for(self, role: Role) -> str | None:
        """The model id that plays `role` first, or None where none is configured."""
        return next(iter(self.chain_for(role)), None)

    def has_models(self) -> bool:
        """Whether every role has a model, so that an answer can be written."""
        return all(self.chain_for(role) for role in get_args(Role))

    def price_of(self, name: str) -> Price | None:
        """The price of a model by its bare name, or None where it is not known."""
        return self.prices.get(name) or _price_table().get(name)

    def limit_of(self, name: str) -> Limit:
        """What a model may be sent, by its bare name."""
        own = self.limits.get(name, Limit())
        return own.model_copy(update={"concurrency": own.concurrency or self.concurrency})

    def review_preset(self) -> str:
        """The name of the preset of a review that names none: the one that was set, where one was
        and it can review, else `review`.
        """
        own = "preset" in self.model_fields_set and self.preset_named(None).can_review
        return self.preset if own else "review"

    def preset_named(self, name: str | None) -> Preset:
        """The preset `name`, or the configured one; SettingsError names those there are."""
        presets = load_presets()
        wanted = name or self.preset
        if wanted not in presets:
            raise SettingsError(f"No preset is called '{wanted}'; use {_one_of(presets)}.")
        return presets[wanted]


def load(**flags: Any) -> Settings:
    """Read the settings from their places; `flags` that are None count as not given.

    Raises SettingsError with the place, the problem and the nearest known key.
    """
    _refuse_unknown_environment()
    try:
        return Settings(**{key: value for key, value in flags.items() if value is not None})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        files = ", ".join(map(str, config_files()))
        raise SettingsError(f"A settings file is not valid TOML ({error}); mend {files}.") from None
    except UnreadableSource as error:
        raise SettingsError(
            f"The environment cannot be used ({error}); "
            f"give its values one by one, as in {ENV_PREFIX}BUDGET__DOLLARS=1."
        ) from None
    except ValidationError as error:
        raise SettingsError(_explain(error.errors())) from None


def config_files() -> list[Path]:
    """The settings files that exist, the one that wins first."""
    here = Path.cwd()
    nearest = next((f for d in (here, *here.parents) if (f := d / FILE_NAME).is_file()), None)
    user = platformdirs.user_config_path("scholar") / FILE_NAME
    return [path for path in (nearest, user) if path is not None and path.is_file()]


@cache
def load_presets() -> dict[str, Preset]:
    """The presets that ship, by name."""
    return {name: Preset(**fields) for name, fields in _table("presets.toml").items()}


@cache
def _price_table() -> dict[str, Price]:
    return {name: Price(**fields) for name, fields in _table("prices.toml").items()}


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("scholar").joinpath(name).read_text("utf-8"))


def _refuse_unknown_environment() -> None:
    fields = Settings.model_fields.items()
    known = {ENV_PREFIX + name.upper(): field.annotation for name, field in fields}
    for name in os.environ:
        head, nested, _ = name.partition("__")
        if not name.startswith(ENV_PREFIX):
            continue
        if head not in known or (nested and not _is_table(known[head])):
            raise SettingsError(f"{name} in the environment is no setting; {_nearest(name, known)}")


def _explain(errors: Sequence[ErrorDetails]) -> str:
    unknown = [e for e in errors if e["type"] == "extra_forbidden" or _KEY in e["loc"]]
    error = (unknown or errors)[0]
    *parents, key = [str(part) for part in error["loc"] if part not in (_KEY, *_CHAIN_KINDS)]
    path = ".".join([*parents, key])
    if unknown:
        return f"'{path}' is no setting; {_nearest(key, _names_at(parents))}"
    said = error["msg"].removeprefix("Value error, ")
    stop = "" if said.endswith((".", "?")) else "."
    return f"The setting '{path}' is unusable: {said}{stop} Correct it."


def _names_at(parents: Iterable[str]) -> Iterable[str]:
    """The names that may stand in the table `parents`."""
    here: Any = Settings
    for name in parents:
        here = here.model_fields[name].annotation if _is_model(here) else get_args(here)[1]
    return here.model_fields if _is_model(here) else get_args(get_args(here)[0])


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_table(annotation: Any) -> bool:
    return _is_model(annotation) or get_origin(annotation) is dict


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"use {_one_of(names)}."


def _one_of(names: Iterable[str]) -> str:
    return "one of " + ", ".join(sorted(names))
