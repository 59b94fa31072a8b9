"""Store and ask: the Store protocol and its adapters."""
