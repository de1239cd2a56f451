"""The stages and what they share."""

from services.runtime.settings import set_library_default

# Before any native library is loaded. Spinning threads are ruinous where several
# engines share the cores; and gRPC logs every connection that a client closes.
set_library_default("OMP_WAIT_POLICY", "passive")
set_library_default("GRPC_VERBOSITY", "ERROR")
