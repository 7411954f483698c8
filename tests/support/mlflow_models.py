"""Logged models, as a user loads them."""

import mlflow
from torch import nn


def load_model(tracking_uri: str, model_uri: str) -> nn.Module:
    """Load a model by MLflow's own loader, which asks MLflow's global address."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking_uri)
    try:
        return mlflow.pytorch.load_model(model_uri)
    finally:
        mlflow.set_tracking_uri(before)
