"""Moving records: the Log protocol, its adapters and the worker loop."""
