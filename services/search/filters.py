"""Which rows a call may see. The tenant is part of every filter."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """Rows of one tenant; where a sequence is empty, all of it."""

    tenant_id: str
    modalities: Sequence[str] = ()
    asset_ids: Sequence[str] = ()
    user_id: str = ""

    def sql(self) -> str:
        """The scope as a condition on rows."""
        conditions = [f"tenant_id = {quote(self.tenant_id)}"]
        if self.modalities:
            conditions.append(f"modality IN ({quote_all(self.modalities)})")
        if self.asset_ids:
            conditions.append(f"asset_id IN ({quote_all(self.asset_ids)})")
        if self.user_id:
            conditions.append(f"user_id = {quote(self.user_id)}")
        return " AND ".join(conditions)


def quote(value: str) -> str:
    """A string as an SQL literal. In the database's dialect (DataFusion) only the
    single quote is special within one; a backslash is not."""
    return "'" + value.replace("'", "''") + "'"


def quote_all(values: Sequence[str]) -> str:
    """Strings as SQL literals, separated by commas."""
    return ", ".join(quote(value) for value in values)
