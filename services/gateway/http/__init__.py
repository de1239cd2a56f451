"""The gateway over HTTP: an adapter of ``GatewayCalls``, shaped like OpenAI's API."""
