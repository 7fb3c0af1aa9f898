"""STORES: URL scheme -> the Store that keeps jobs there; one file a store."""

STORES = {
    "sqlite": "neo_cli.jobs.stores.sqlite:SqliteStore",
    "memory": "neo_cli.jobs.stores.memory:MemoryStore",
}
