"""What tenants may take and what it costs: exact counts, wrong files, estimates."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.metering.counters import Counters
from services.gateway.metering.limiter import Limiter, TenantCharger
from services.gateway.metering.limits import Limits, TenantLimits, Window, load_limits
from services.gateway.metering.prices import Prices, load_prices
from services.runtime.account import CHARGE_BYTES, Account, Usage
from services.runtime.errors import InvalidInput, Overloaded

EXAMPLES = Path(__file__).resolve().parents[3] / "deploy"


def limiter(**default: object) -> Limiter:
    return Limiter(Limits(TenantLimits(**default)), Counters())  # type: ignore[arg-type]


@given(
    quotas=st.dictionaries(
        st.sampled_from([Window.HOUR, Window.DAY, Window.MONTH]),
        st.integers(1, 12),
        min_size=1,
    ),
    arrivals=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans()), max_size=40),
)
async def test_never_more_requests_than_the_quota_are_admitted_whoever_comes_at_once(
    quotas: dict[Window, int], arrivals: list[tuple[str, bool]]
) -> None:
    under_test = limiter(requests=quotas)

    async def arrive(tenant_id: str) -> bool:
        try:
            await under_test.admit(tenant_id, "ListAssets")
        except Overloaded:
            return False
        return True

    tasks = []
    for tenant_id, pause in arrivals:
        tasks.append(asyncio.create_task(arrive(tenant_id)))
        if pause:
            await asyncio.sleep(0)
    admitted = [
        tenant_id
        for (tenant_id, _), admitted in zip(arrivals, await asyncio.gather(*tasks), strict=True)
        if admitted
    ]
    for tenant_id in ("a", "b"):
        came = sum(who == tenant_id for who, _ in arrivals)
        assert admitted.count(tenant_id) == min(came, *quotas.values())


async def test_all_limits_that_are_reached_must_be_free_again() -> None:
    under_test = limiter(requests={"second": 1, "day": 1})
    await under_test.admit("a", "ListAssets")
    with pytest.raises(Overloaded) as refused:
        await under_test.admit("a", "ListAssets")
    assert (refused.value.reason, refused.value.subject) == ("QUOTA_EXCEEDED", "requests/day")
    assert refused.value.retry_after_s == pytest.approx(86_400, abs=5)


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    limits = limiter(
        requests={"day": 10},
        tokens={"day": 100},
        media_seconds={"day": 1.5},
        bytes={"day": 4 * CHARGE_BYTES},
    )
    yield Account(TenantCharger(limits, "a", "StreamingConverse"))


async def test_bytes_are_charged_as_they_come(account: Account) -> None:
    for _ in range(64):
        await account.received(CHARGE_BYTES // 16)
    await account.settle()  # just fits
    with pytest.raises(Overloaded) as refused:
        await account.received(CHARGE_BYTES)
    assert refused.value.subject == "bytes/day"


async def test_the_first_bytes_are_refused_where_none_are_left(account: Account) -> None:
    limits = limiter(bytes={"day": 1})
    first, second = (Account(TenantCharger(limits, "a", "StreamingConverse")) for _ in range(2))
    await first.received(1)
    with pytest.raises(Overloaded):
        await second.received(1)


async def test_seconds_count_where_the_bytes_beside_them_are_refused() -> None:
    limits = limiter(bytes={"day": 100}, media_seconds={"day": 3.0})
    account = Account(TenantCharger(limits, "a", "StreamingUpload"))
    account.used = Usage(media_bytes=101, media_s=3.0)
    with pytest.raises(Overloaded) as refused:
        await account.settle()
    assert refused.value.subject == "bytes/day"
    with pytest.raises(Overloaded) as spent:
        await limits.admit("a", "Transcribe")
    assert spent.value.subject == "media_seconds/day"


async def test_media_that_runs_past_its_seconds_is_the_last(account: Account) -> None:
    account.used.media_s += 1.0
    await account.settle()
    account.used.media_s += 60.0
    await account.settle()
    account.used.media_s += 0.1
    with pytest.raises(Overloaded) as refused:
        await account.settle()
    assert refused.value.subject == "media_seconds/day"


async def test_a_further_question_is_refused_where_no_tokens_are_left(account: Account) -> None:
    await account.begin()
    account.used.prompt_token_count += 99
    await account.begin()
    account.used.completion_token_count += 1
    with pytest.raises(Overloaded) as refused:
        await account.begin()
    assert refused.value.subject == "tokens/day"


async def test_a_named_tenant_has_its_own_limits_only() -> None:
    limits = Limits(TenantLimits(requests={"day": 1}), {"big": TenantLimits()})  # type: ignore[dict-item]
    under_test = Limiter(limits, Counters())
    for _ in range(5):
        await under_test.admit("big", "Ask")
    await under_test.admit("small", "Ask")
    with pytest.raises(Overloaded):
        await under_test.admit("small", "Ask")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"default": {"requests": {"fortnight": 1}}}', "default.requests.fortnight"),
        ('{"default": {"requests": {"day": 0}}}', "default.requests.day"),
        ('{"tenants": {"acme": {"pages": {"day": 1}}}}', "tenants.acme.pages"),
        ('{"default": {"turns": "many"}}', "default.turns"),
        ("{", ""),
    ],
)
def test_a_wrong_file_is_refused_and_the_field_named(
    tmp_path: Path, content: str, place: str
) -> None:
    path = tmp_path / "limits.json"
    path.write_text(content)
    with pytest.raises(InvalidInput) as refused:
        load_limits(path)
    assert refused.value.reason == "LIMITS_FILE_INVALID"
    assert refused.value.subject == "SENSORIUM_LIMITS_FILE"
    assert place in refused.value.message


def test_without_a_file_nothing_is_limited_and_all_is_free() -> None:
    assert load_limits(None) is None
    assert load_prices(None).cost_micros(Usage(prompt_token_count=1000)) == 0


def test_the_examples_are_right() -> None:
    limits = load_limits(EXAMPLES / "limits.json")
    assert limits and limits.of("trial").turns == 1
    prices = load_prices(EXAMPLES / "prices.json")
    assert prices.currency and prices.cost_micros(Usage(completion_token_count=1_000_000)) > 0


def test_an_estimate_adds_up_all_that_has_a_price() -> None:
    prices = Prices(
        currency="EUR",
        request=0.001,
        million_prompt_tokens=0.5,
        million_cached_tokens=0.1,
        million_completion_tokens=2.0,
        media_minute=0.006,
        gib=0.1,
    )
    used = Usage(
        prompt_token_count=3000,
        cached_token_count=1000,
        completion_token_count=500,
        media_s=90.0,
        media_bytes=1 << 30,
    )
    # 0.001 + 0.001 + 0.0001 + 0.001 + 0.009 + 0.1
    assert prices.cost_micros(used) == 112_100
