"""Deleted rows out of the files.

LanceDB only marks a row as deleted or replaced: its bytes stay in the file of its
fragment. Compaction writes a fragment anew once more than a tenth of it is gone, and
keeps its rows in the indexes. So that much of a fragment is moved to a new one, and
compaction does the rest; then the old file belongs to an old version only, and goes
with it. Moving all of a fragment would leave all its rows to be indexed anew, and
searches slow meanwhile.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# A row's id holds the number of its fragment above, its place in it below.
_FRAGMENT_SHIFT = 32
_ROW_ID = "_rowid"

# With the rows that are gone already, of which a tenth at most is left to us, an eighth
# of those that are there is always more than a tenth of all.
_MOVED_SHARE = 8


@dataclass(slots=True)
class Erasure:
    """When the deleted rows of a table go, in seconds of ``time.perf_counter``."""

    due_at_s: float = math.inf
    """From then on out of fragments of any size; before that out of small ones."""
    cleanup_at_s: float = math.inf
    """From then on the versions that still held them are old enough to go."""

    @property
    def is_pending(self) -> bool:
        """Whether there is anything to be done."""
        return not math.isinf(min(self.due_at_s, self.cleanup_at_s))

    def is_due(self, now_s: float) -> bool:
        """Whether it must wait no longer."""
        return now_s >= min(self.due_at_s, self.cleanup_at_s)


async def loosen(table: Any, fragments: Iterable[int], row_count_max: float) -> bool:
    """Has the next compaction write anew what is left in fragments, but for those of more
    rows than ``row_count_max``; returns whether there are none of these."""
    left_out = False
    for fragment in sorted(fragments):
        first, after = fragment << _FRAGMENT_SHIFT, (fragment + 1) << _FRAGMENT_SHIFT
        row_count = await table.count_rows(f"{_ROW_ID} >= {first} AND {_ROW_ID} < {after}")
        if row_count > row_count_max:
            left_out = True
        elif row_count:
            end = first + row_count // _MOVED_SHARE + 1
            # Any column will do: an update writes the whole row.
            await table.update(
                where=f"{_ROW_ID} >= {first} AND {_ROW_ID} < {end}",
                updates_sql={"confidence": "confidence"},
            )
    return not left_out
