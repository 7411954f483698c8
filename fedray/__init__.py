"""FedRay: federated generative experiments on medical images at cluster scale."""

from fedray.environment import settle_environment
from fedray.logins import settle_logins

settle_environment()  # here: whatever of FedRay is imported first, no library that reads them was
settle_logins()

__version__ = "0.1.0"
