"""The stages and what they share."""

from services.runtime.settings import set_library_default

# Before any native library is loaded. Threads that spin long at a barrier are ruinous where
# several engines share the cores, and threads that sleep at once wake late: measured on two
# cores, quiet and beside a busy core, the language model writes 57 and 20 tokens/s spinning
# for good, 35 and 37 sleeping, 53 and 31 spinning so briefly.
set_library_default("OMP_WAIT_POLICY", "passive")
set_library_default("GOMP_SPINCOUNT", "400")
# gRPC logs every connection that a client closes.
set_library_default("GRPC_VERBOSITY", "ERROR")
