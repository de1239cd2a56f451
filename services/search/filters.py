"""Which rows a call may see. The tenant is part of every filter."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """Rows of one tenant; where a sequence is empty, all of it.

    ``create_time_min_us`` and ``create_time_max_us`` (excluded) count from the
    epoch; ``metadata`` are pairs of key and value, all of which a row must have,
    as it must have all ``tags``.
    """

    tenant_id: str
    modalities: Sequence[str] = ()
    asset_ids: Sequence[str] = ()
    excluded_asset_ids: Sequence[str] = ()
    user_id: str = ""
    tags: Sequence[str] = ()
    metadata: Sequence[tuple[str, str]] = ()
    create_time_min_us: int | None = None
    create_time_max_us: int | None = None
    excluded_origins: Sequence[str] = ()

    def sql(self) -> str:
        """The scope as a condition on rows."""
        conditions = [f"tenant_id = {quote(self.tenant_id)}"]
        if self.modalities:
            conditions.append(f"modality IN ({quote_all(self.modalities)})")
        if self.asset_ids:
            conditions.append(f"asset_id IN ({quote_all(self.asset_ids)})")
        if self.excluded_asset_ids:
            conditions.append(f"asset_id NOT IN ({quote_all(self.excluded_asset_ids)})")
        if self.user_id:
            conditions.append(f"user_id = {quote(self.user_id)}")
        if self.tags:
            conditions.append(f"array_has_all(tags, [{quote_all(self.tags)}])")
        if self.metadata:
            entries = [metadata_entry(key, value) for key, value in self.metadata]
            conditions.append(f"array_has_all(metadata, [{quote_all(entries)}])")
        if self.create_time_min_us is not None:
            conditions.append(f"create_time >= to_timestamp_micros({self.create_time_min_us:d})")
        if self.create_time_max_us is not None:
            conditions.append(f"create_time < to_timestamp_micros({self.create_time_max_us:d})")
        if self.excluded_origins:
            conditions.append(f"origin NOT IN ({quote_all(self.excluded_origins)})")
        return " AND ".join(conditions)


def metadata_entry(key: str, value: str) -> str:
    """A pair as rows hold it: no key has an equals sign, so no two pairs are the same."""
    return f"{key}={value}"


def quote(value: str) -> str:
    """A string as an SQL literal. In the database's dialect (DataFusion) only the
    single quote is special within one; a backslash is not."""
    return "'" + value.replace("'", "''") + "'"


def quote_all(values: Sequence[str]) -> str:
    """Strings as SQL literals, separated by commas."""
    return ", ".join(quote(value) for value in values)
