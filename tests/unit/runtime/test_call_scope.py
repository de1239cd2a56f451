"""What a call between stages says of its caller."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput

# As gRPC requires of metadata.
LEGAL = frozenset(map(chr, range(0x20, 0x7F)))


@given(st.text(max_size=20))
def test_whatever_the_names_metadata_is_legal_or_refused_in_words(name: str) -> None:
    for make in (partial(CallScope, tenant_id=name), partial(CallScope, user_id=name)):
        try:
            scope = make()
        except InvalidInput as refused:
            assert refused.reason in ("TENANT_INVALID", "USER_INVALID")
            continue
        assert all(LEGAL.issuperset(value) for value in scope.metadata().values())


@pytest.mark.parametrize("user", ["a\r\nsensorium-tenant: other", "a\0", "é", "a b", "\x7f"])
def test_a_users_name_smuggles_nothing(user: str) -> None:
    with pytest.raises(InvalidInput, match="USER_INVALID"):
        CallScope(user_id=user)
