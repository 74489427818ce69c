"""What the agent does: gRPC, processes, files, sockets."""

import os

# gRPC's fork handlers are for code that goes on after a fork. The agent only forks to exec, and they log each time.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
