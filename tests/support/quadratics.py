"""A federation whose best answer is known: clients with a quadratic each, and steps of unequal numbers."""

import numpy as np
import torch
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

from fedray.federation import client_half
from fedray.federation.messages import from_record, to_record
from fedray.federation.sampling import SampledGrid
from fedray.federation.strategies import KeepsState
from fedray.federation.strategies.base import separated
from fedray.testing import LocalGrid

NAME = "discriminator.w"
RATE = 0.05


class Point(nn.Module):
    """One network, which is its parameter."""

    def __init__(self, value):
        super().__init__()
        self.w = nn.Parameter(torch.from_numpy(np.array(value)))


class PointLearner:
    """A learner of one point, under a network's name that the configuration shares."""

    def __init__(self, value):
        self.point = Point(value)

    def arrays(self, names):
        return {NAME: self.point.w.detach().numpy().copy()}

    def load(self, arrays):
        for value in arrays.values():
            self.point.load_state_dict({"w": torch.from_numpy(np.array(value))})

    def trained(self, names):
        return [NAME]

    def networks(self):
        return {"discriminator": self.point}

    def parts(self):
        return self.networks()

    def rates(self):
        return {"discriminator": RATE}


def gradient(curvature, best, at):
    """Of 1/2 (at - best) curvature (at - best)."""
    return curvature @ (at - best)


def make_clients(num, size, random):
    """Return curvature, best point and number of steps of each client."""
    clients = []
    for number in range(num):
        root = random.normal(size=(size, size)) / 2
        clients.append((root @ root.T + 0.5 * np.eye(size), random.normal(size=size) * 3, 2 + number % 5))
    return clients


def client_app_of(config, clients):
    """Return an app that trains each client's point around the client's half of a strategy."""
    app = ClientApp()

    @app.train()
    def train(message, context):
        curvature, best, num_steps = clients[context.node_config["partition-id"]]
        networks, told = separated(from_record(message.content.array_records["arrays"]))
        learner, half = PointLearner(networks[NAME]), client_half(config)
        kept = from_record(context.state.array_records["kept"]) if "kept" in context.state else {}
        hooks, point = half.begin(learner, told, kept), learner.point
        for _ in range(num_steps):
            point.w.grad = torch.from_numpy(gradient(curvature, best, point.w.detach().numpy()))
            for hook in hooks:
                hook.gradient("discriminator", point)
            with torch.no_grad():
                point.w -= RATE * point.w.grad
        arrays = half.end(learner, {"discriminator": num_steps})
        context.state["kept"] = to_record(half.keep())
        content = RecordDict({"arrays": to_record(arrays), "metrics": MetricRecord({"weight": 1.0})})
        return Message(content, reply_to=message)

    return app


def run_points(config, strategy, clients, rounds):
    """Run rounds of the clients that are named for each; returns the point after every round."""
    grid = LocalGrid(client_app_of(config, clients), len(clients))
    nodes = grid.get_node_ids()
    arrays, kept, found = to_record({NAME: np.zeros(len(clients[0][1]))}), {}, []
    for number, chosen in enumerate(rounds, start=1):
        if isinstance(strategy, KeepsState):
            strategy.load(kept)
        sampled = SampledGrid(grid, [nodes[position] for position in chosen])
        messages = strategy.configure_train(number, arrays, ConfigRecord(), sampled)
        arrays, _ = strategy.aggregate_train(number, grid.send_and_receive(list(messages)))
        kept = strategy.arrays() if isinstance(strategy, KeepsState) else {}
        found.append(arrays[NAME].numpy())
    return found
