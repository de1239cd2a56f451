import pytest
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.access.scopes import REQUIRED, Scope, check_scope
from services.runtime.errors import PermissionDenied

RPCS = {method.name for method in gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"].methods}


def test_every_call_of_the_contract_needs_a_scope() -> None:
    assert REQUIRED.keys() == RPCS
    assert all(REQUIRED.values())


@pytest.mark.parametrize("method", sorted(RPCS))
def test_a_call_is_opened_by_its_scopes_and_by_no_other(method: str) -> None:
    for scope in Scope:
        if scope in REQUIRED[method]:
            check_scope({scope}, method)
        else:
            with pytest.raises(PermissionDenied) as refused:
                check_scope({scope}, method)
            assert refused.value.reason == "SCOPE_MISSING"
            assert all(wanted in refused.value.message for wanted in REQUIRED[method])
