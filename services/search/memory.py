"""Memory that is free but still the process's."""

import ctypes

# Of glibc; None where the C library has no such function.
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def release_free_memory() -> None:
    """Gives back to the system what the C allocator keeps of freed memory. The threads
    of the database have an arena each and leave free pages in all of them, which after
    thousands of commits are half of what the process holds. Takes milliseconds."""
    if _trim is not None:
        _trim(0)
