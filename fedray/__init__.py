"""FedRay: federated generative experiments on medical images at cluster scale."""

__version__ = "0.1.0"
