"""'timm': any model of timm, with weights from a file: safetensors, or what torch.save wrote, read as weights alone.

So most pathology foundation models come: as a state dict for one of timm's models, built with arguments that the
authors name, or as a folder of the Hugging Face Hub whose ``config.json`` names them.
"""

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fedray.config import EvaluationConfig
from fedray.data import TileStore
from fedray.evaluation.errors import EvaluationError
from fedray.evaluation.extractors.base import Extractor
from fedray.evaluation.extractors.from_file import (
    FileNetwork,
    FileProtocol,
    as_fields,
    check_channels,
    checked_sha256,
    pixels_said,
    tried_out,
    weights_path,
)
from fedray.learning.errors import ModelError
from fedray.learning.timm_models import TimmChoice

SETTINGS = "config.json"
"""Of a folder as the Hugging Face Hub has it: which model, built with what, for which pixels."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Of such a folder, in the order in which they are looked for."""
_INTERPOLATIONS = ("bilinear", "bicubic")


class TimmNetwork(FileNetwork):
    """A model of timm without its classifier."""

    def __init__(self, protocol: FileProtocol, model: nn.Module) -> None:
        """Take the model, which has its weights."""
        super().__init__(protocol)
        self.model = model.to(memory_format=torch.channels_last)

    def compute(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of pixels."""
        features: torch.Tensor = self.model(pixels.contiguous(memory_format=torch.channels_last))
        return features


def settled(config: EvaluationConfig) -> Mapping[str, Any]:
    """Return the fields of the section that say all of the protocol: of a folder, what its config.json says.

    Raises:
        EvaluationError: There is no such model or file, or what is said of the tiles is not enough.
    """
    path = weights_path(config)
    if config.chosen_extractor == "timm":
        return _settled_folder(config, path)
    if path.is_dir():
        raise EvaluationError(
            f"evaluation.extractor {config.extractor!r} takes a file of weights, but {path} is a folder; name the "
            f"file, or take evaluation.extractor 'timm' for a folder with {SETTINGS}"
        )
    sha256 = config.extractor_sha256 or checked_sha256(path, None)
    name = _full_name(config)
    pixels = _stated(_default_cfg(name)) | pixels_said(config)
    if lacking := [field for field in ("size", "mean", "std", "interpolation") if field not in pixels]:
        names = ", ".join(f"evaluation.extractor_{field}" for field in lacking)
        raise EvaluationError(f"timm does not say for which tiles {name} is; state {names}")
    if len(pixels["mean"]) != len(pixels["std"]):
        raise EvaluationError(
            f"mean and deviation of {name}'s channels must be as many, but are {len(pixels['mean'])} and "
            f"{len(pixels['std'])}, one of them timm's own; state both (evaluation.extractor_mean, _std)"
        )
    args = _joined(_split(config.extractor_args or "")) or None
    return {"extractor": f"timm:{name}", **as_fields({"weights": str(path), "sha256": sha256, "args": args, **pixels})}


def protocol_of(config: EvaluationConfig) -> FileProtocol:
    """Say what scores in its features stand for. Errors as of :func:`settled`."""
    full = config.model_copy(update=dict(settled(config)))
    _, _, model = full.chosen_extractor.partition(":")
    return FileProtocol(
        kind="timm", model=model, args=full.extractor_args or "", sha256=str(full.extractor_sha256), **pixels_said(full)
    )


def check(store: TileStore, config: EvaluationConfig) -> None:
    """Refuse a model that timm has not, a file that is not there or another one, and tiles of other channels.

    Raises:
        EvaluationError: With the remedy.
    """
    config = config.model_copy(update=dict(settled(config)))
    check_channels(store, config, protocol_of(config))
    checked_sha256(weights_path(config), config.extractor_sha256)
    _split(config.extractor_args or "")


def load(store: TileStore, config: EvaluationConfig) -> Extractor:
    """Load the extractor: every array of the model from the file, and no array of the file left over.

    Raises:
        EvaluationError: As of :func:`check`; or the file has other arrays than the model, or its features are not
            as is stated.
    """
    check(store, config)
    config = config.model_copy(update=dict(settled(config)))
    protocol = protocol_of(config)
    model = _built(protocol, _read(weights_path(config)), config)
    return tried_out(TimmNetwork(protocol, model), store, config)


def _settled_folder(config: EvaluationConfig, folder: Path) -> Mapping[str, Any]:
    """Read what a folder says of its model; what the configuration says goes before it."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        name, built_with, pixels = settings["architecture"], settings.get("model_args"), settings.get("pretrained_cfg")
        args = _joined(
            {key: value for key, value in (built_with or {}).items() if value is not None and key not in _OWN}
        )
        stated = _stated(pixels or {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(
            f"evaluation.extractor 'timm' takes a folder whose {SETTINGS} says which model of timm its weights are of "
            f"('architecture'), but {folder} has none that can be read ({type(error).__name__}: {error}); download the "
            "whole folder, or name the model, 'timm:MODEL', and the file"
        ) from None
    found = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise EvaluationError(f"{folder} must hold {' or '.join(WEIGHTS)}, but has neither; download the whole folder")
    update = {"extractor": f"timm:{name}", "extractor_weights": str(found)}
    update |= as_fields(stated | pixels_said(config) | {"args": f"{args} {config.extractor_args or ''}"})
    return settled(config.model_copy(update=update))


def _full_name(config: EvaluationConfig) -> str:
    _, _, model = config.chosen_extractor.partition(":")
    try:
        return TimmChoice(model, "the model of evaluation.extractor 'timm:MODEL'", own=()).full_name
    except ModelError as error:
        raise EvaluationError(str(error)) from None


def _default_cfg(name: str) -> Mapping[str, Any]:
    """Return what timm says of a model's pixels; nothing where it says nothing."""
    from timm.models import get_pretrained_cfg

    try:
        found = get_pretrained_cfg(name)
    except RuntimeError as error:  # the part of the name behind the dot
        raise EvaluationError(f"evaluation.extractor 'timm:{name}': {error} Leave out what is behind the dot") from None
    return {} if found is None else found.to_dict()


def _stated(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Take what is said of the tiles from timm's or a folder's words, as far as it is said and can be done."""
    *_, height, width = cfg.get("input_size") or (None, None)
    pixels: dict[str, Any] = {"size": int(height)} if height and height == width else {}
    pixels |= {field: tuple(map(float, cfg[field])) for field in ("mean", "std") if cfg.get(field)}
    return pixels | ({"interpolation": cfg["interpolation"]} if cfg.get("interpolation") in _INTERPOLATIONS else {})


_OWN = {
    "img_size": "evaluation.extractor_size",
    "in_chans": "evaluation.extractor_mean, a number a channel",
    "num_classes": "nothing: the classifier is left off",
    "pretrained": "evaluation.extractor_weights",
    "checkpoint_path": "evaluation.extractor_weights",
}
"""Arguments of timm's that are said otherwise, and how."""


def _split(args: str) -> dict[str, Any]:
    """Read arguments: numbers, True, False and lists as Python has them, other words as they are."""
    found: dict[str, Any] = {}
    for word in args.split():
        name, equals, value = word.partition("=")
        if not (name.isidentifier() and equals):
            raise EvaluationError(
                f"evaluation.extractor_args must be NAME=VALUE with blanks between them, but has {word!r}"
            )
        if name in _OWN:
            raise EvaluationError(f"evaluation.extractor_args must not have {name!r}: that is said by {_OWN[name]}")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def _joined(args: Mapping[str, Any]) -> str:
    """Write arguments as :func:`_split` reads them, in one order."""
    return " ".join(f"{name}={_word(value)}" for name, value in sorted(args.items()))


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value
    whole = isinstance(value, float) and value.is_integer()  # 4 and 4.0 are one ratio
    return repr(int(value) if whole else value).replace(" ", "")


def _layer(name: str, value: Any) -> Any:
    """Find the class of a layer by its name; other values are what timm takes."""
    import timm.layers

    if not name.endswith("_layer") or not isinstance(value, str):
        return value
    for room in (timm.layers, nn):
        found = getattr(room, value, None)
        made = getattr(found, "func", found)  # timm's SwiGLUPacked is a partial of a class
        if isinstance(made, type) and issubclass(made, nn.Module):
            return found
    return value


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, also from within a checkpoint, with timm's own reader."""
    from timm.models import load_state_dict

    try:
        state: dict[str, torch.Tensor] = load_state_dict(str(path), weights_only=True)
        if strange := [name for name, value in state.items() if not isinstance(value, torch.Tensor)]:
            raise ValueError(f"{strange[0]!r} is no array")
    except Exception as error:
        cause = " ".join(str(error).split())[:200]
        raise EvaluationError(
            f"evaluation.extractor_weights {path} holds no weights that can be read without running code from it "
            f"({type(error).__name__}: {cause}); save the network's state_dict(), by safetensors or torch.save"
        ) from None
    return state


def _built(protocol: FileProtocol, state: dict[str, torch.Tensor], config: EvaluationConfig) -> nn.Module:
    """Build the model with its weights, which must be its own, all of them."""
    heads = _default_cfg(protocol.model).get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else heads
    state = {name: value for name, value in state.items() if name.rpartition(".")[0] not in heads}
    # num_classes as of the model that is built: timm lets arrays be missing where the two differ.
    pixels = (len(protocol.mean), protocol.size, protocol.size)
    overlay = {"state_dict": state, "num_classes": 0, "label_offset": 0, "input_size": pixels}
    args = {name: _layer(name, value) for name, value in _split(protocol.args).items()}
    try:
        with torch.random.fork_rng(devices=[]):  # its layers draw weights, which are replaced
            model = _create(protocol, pretrained=True, pretrained_cfg_overlay=overlay, **args)
    except Exception as error:
        raise EvaluationError(
            f"evaluation.extractor_weights {config.extractor_weights} are not those of timm's {protocol.model!r}"
            f"{f' with {protocol.args}' if protocol.args else ''}: {_differences(error)}; name the model that the "
            "file is of, and by evaluation.extractor_args what its authors build it with"
        ) from None
    return model.float()


def _create(protocol: FileProtocol, **arguments: Any) -> nn.Module:
    import timm

    arguments |= {"num_classes": 0, "in_chans": len(protocol.mean)}
    try:
        model: nn.Module = timm.create_model(protocol.model, img_size=protocol.size, **arguments)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        model = timm.create_model(protocol.model, **arguments)  # a convolutional network takes any size
    return model


def _differences(error: Exception) -> str:
    """Say of PyTorch's long message how many arrays differ, and name one of each kind."""
    text, parts = str(error), []
    for kind, what in (("Missing", "the file lacks"), ("Unexpected", "the model lacks")):
        if found := re.search(rf"{kind} key\(s\) in state_dict: (.*?)\.\s", f"{text} "):
            names = re.findall('"([^"]+)"', found.group(1))
            parts.append(f"{what} {len(names)} arrays, such as {names[0]}")
    if found := re.search(r"size mismatch for (\S+): .*?Size\((\[.*?\])\).*?Size\((\[.*?\])\)", text, re.DOTALL):
        parts.append(f"{found.group(1)} is {found.group(2)} in the file and {found.group(3)} in the model")
    return ", ".join(parts) or f"{type(error).__name__}: {' '.join(text.split())[:200]}"
