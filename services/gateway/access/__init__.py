"""Who calls, and whether they may: the door that gRPC and HTTP share."""
