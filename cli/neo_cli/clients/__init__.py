"""Where a request can go: this machine, or AWS."""

from __future__ import annotations

from neo_cli.base.table import lookup
from neo_cli.clients.base import Client, Surroundings, engine

CLIENTS = {
    "local": "neo_cli.clients.local:LocalClient",
    "aws": "neo_cli.clients.aws:AwsClient",
}


def client_for(context: Surroundings) -> Client:
    """The client of the engine in force."""
    client: Client = lookup(CLIENTS, str(engine(context).value))(context)
    return client
