"""Differential privacy: Flower's clipping on the clients, Flower's noise on the server, and the account of both."""

import math

from flwr.app import Context, Message
from flwr.clientapp.mod import fixedclipping_mod
from flwr.clientapp.typing import ClientAppCallable
from flwr.serverapp import GaussianPrivacyEvent, NeighboringRelation, RdpAccountant, SamplingMethod
from flwr.serverapp import PrivacyConfig as AccountConfig
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, Strategy
from flwr.supercore.differential_privacy import KEY_CLIPPING_NORM

from fedray.config import ExperimentConfig
from fedray.federation.messages import CONFIG
from fedray.federation.sampling import num_sampled


def clip_if_asked(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Clip the client's update where the server sends a clipping norm. A mod of the ClientApp."""
    if KEY_CLIPPING_NORM in message.content.config_records[CONFIG]:
        clipped: Message = fixedclipping_mod(message, context, call_next)
        return clipped
    return call_next(message, context)


def with_privacy(strategy: Strategy, config: ExperimentConfig, rounds_done: int) -> Strategy:
    """Wrap a strategy in Flower's noise and accounting.

    The noise is not drawn from the experiment's streams: whoever knew the seed could take it off again. Two runs with
    differential privacy therefore differ.

    Args:
        strategy: A mean with equal weights.
        config: Of the experiment.
        rounds_done: Rounds before this one.
    """
    privacy, num_clients = config.privacy, num_sampled(config.num_clients, config.federation.client_fraction)
    account = RdpAccountant(
        AccountConfig(
            target_delta=privacy.delta,
            population_size=config.num_clients,
            neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE,
            sampling_method=SamplingMethod.NO_AMPLIFICATION,  # which clients take part can be told from the seed
        )
    )
    if rounds_done:
        account.compose(GaussianPrivacyEvent(privacy.noise_multiplier, num_clients, config.num_clients), rounds_done)
    return DifferentialPrivacyClientSideFixedClipping(
        strategy, privacy.noise_multiplier, privacy.clipping_norm, num_clients, accountant=account
    )


def epsilon_spent(strategy: Strategy) -> float | None:
    """Return epsilon at the configured delta over all rounds until now, None without differential privacy."""
    if not isinstance(strategy, DifferentialPrivacyClientSideFixedClipping):
        return None
    spent = strategy.privacy_spent()
    return math.inf if spent is None else float(spent.epsilon)
