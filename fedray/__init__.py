"""FedRay: federated generative experiments on medical images at cluster scale."""

from fedray.environment import settle_environment

settle_environment()  # here: whatever of FedRay is imported first, no library that reads them was

__version__ = "0.1.0"
