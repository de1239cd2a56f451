"""Deleted rows out of the files.

LanceDB only marks a row as deleted: its bytes stay in the file of its fragment
until more than a tenth of the fragment is gone. So the rows that are left in
such a fragment are written anew; then the old file belongs to an old version
only, and goes with it.
"""

from typing import Any

# A row's id holds the number of its fragment above, its place in it below.
_FRAGMENT_SHIFT = 32
_ROW_ID = "_rowid"


async def fragments_of(table: Any, condition: str) -> set[int]:
    """The fragments that hold the rows of a condition."""
    rows = await table.query().where(condition).with_row_id().select([_ROW_ID]).to_arrow()
    return {row_id >> _FRAGMENT_SHIFT for row_id in rows.column(_ROW_ID).to_pylist()}


async def rewrite(table: Any, fragments: set[int]) -> None:
    """Writes what is left in fragments anew. Costs as much as they are large."""
    for fragment in sorted(fragments):
        first, after = fragment << _FRAGMENT_SHIFT, (fragment + 1) << _FRAGMENT_SHIFT
        condition = f"{_ROW_ID} >= {first} AND {_ROW_ID} < {after}"
        # Any column will do: an update writes the whole row.
        await table.update(where=condition, updates_sql={"confidence": "confidence"})
