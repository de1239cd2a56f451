"""Errors as gRPC carries them."""

from hypothesis import given
from hypothesis import strategies as st

from services.runtime.errors import InvalidInput, NotFound, Overloaded, SensoriumError
from services.runtime.status import rich_status, stream_error

TRAILERS_BYTES_MAX = 8 << 10
"""That gRPC takes by default; what is binary in them is sent as base64."""

ERRORS = st.sampled_from([InvalidInput, NotFound, Overloaded])
LONG = st.text(max_size=20).map(lambda text: text * 3000)


@given(error_type=ERRORS, message=st.sampled_from(["No such thing.", "x" * 9000]), subject=LONG)
def test_whatever_is_at_fault_the_error_fits_the_trailers(
    error_type: type[SensoriumError], message: str, subject: str
) -> None:
    status = rich_status(error_type("BAD_NAME", message, subject=subject, retry_after_s=1))
    assert len(status.message) + status.ByteSize() * 4 / 3 < TRAILERS_BYTES_MAX


@given(subject=LONG)
def test_what_is_clipped_is_the_end(subject: str) -> None:
    told = stream_error(NotFound("BAD_NAME", "No such thing.", subject=subject)).subject
    assert subject.startswith(told) and len(told.encode()) > min(len(subject.encode()), 256) - 4
