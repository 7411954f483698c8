"""The task's clients on FedRay (or on any other engine for Flower apps), in a module that the workers import."""

from functools import cache

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from benchmarks.pfl.task import BATCH_SIZE, LEARNING_RATE, Network, client_data, seed_network

client_app = ClientApp()


@cache
def process_network() -> Network:
    """Return this process's network, which clients use one after another."""
    seed_network()
    return Network()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Train for one epoch."""
    network = process_network()
    network.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    client = int(context.node_config["partition-id"])
    images, labels = client_data(client)
    for batch, target in zip(torch.split(images, BATCH_SIZE), torch.split(labels, BATCH_SIZE), strict=True):
        optimizer.zero_grad()
        network.loss(batch, target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    metrics = MetricRecord({"num-examples": len(images), "client": client})
    return Message(RecordDict({"arrays": ArrayRecord(network.state_dict()), "metrics": metrics}), reply_to=message)
