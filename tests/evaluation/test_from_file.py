"""Extractors from a file: the network's own features, named by all that they hang on; no other file, no other code."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform
from torch import nn
from torch_fidelity import calculate_metrics
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from fedray.config import EvaluationConfig, ExperimentConfig
from fedray.data import TileStore
from fedray.evaluation import EXTRACTORS, EvaluationError, Evaluator, check_extractor, extractor_name, score_names
from fedray.evaluation.extractors import Extractor, load_extractor
from fedray.experiment import from_store
from fedray.experiment.judging.samples import notes
from fedray.testing import ExtractorSuite

CPU = torch.device("cpu")
MODEL = "test_vit"
"""timm's smallest transformer: 160 px, 64 features."""
ARGS = {"init_values": 1e-5, "mlp_ratio": 2.0}
TOLD = "init_values=1e-5 mlp_ratio=2"
PIXELS = {"extractor_mean": (0.7, 0.6, 0.5), "extractor_std": (0.2, 0.25, 0.3)}
"""Of a network that is no model of timm."""


class Small(nn.Module):
    """16 px, 6 features; another in training mode, as batch norms and dropout are."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.dropout = nn.Conv2d(3, 6, 4, 4), nn.BatchNorm2d(6), nn.Dropout(0.5)
        self.norm.running_mean.uniform_(-1, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.norm(self.convolution(pixels))).amax((2, 3))


class Tokens(Small):
    """No vector a tile."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.convolution(pixels)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


def vit(**more: Any) -> nn.Module:
    return seeded(lambda: timm.create_model(MODEL, **ARGS, **more))


def as_pt2(network: nn.Module, path: Path, num: int | None = None) -> None:
    example = torch.zeros(num or 2, 3, 16, 16)
    shapes = None if num else ({0: torch.export.Dim.AUTO},)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=shapes), path)


def as_torchscript(network: nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.trace(network, torch.zeros(2, 3, 16, 16), check_trace=False), path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind."""
    folder = tmp_path_factory.mktemp("weights")
    save_file(vit().state_dict(), folder / "vit.safetensors")
    torch.save(vit(num_classes=0).state_dict(), folder / "vit.bin")
    as_pt2(seeded(Small), folder / "small.pt2")
    as_torchscript(seeded(Small), folder / "small.pt")
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exported(kind: str, path: Path, **changes: Any) -> EvaluationConfig:
    said = {
        "extractor_weights": str(path),
        "extractor_sha256": sha256(path),
        "extractor_size": 16,
        "extractor_width": 6,
    }
    return EvaluationConfig(extractor=kind, **{**said, **PIXELS, **changes})


def of_timm(path: Path, args: str | None = TOLD, **changes: Any) -> EvaluationConfig:
    return EvaluationConfig(
        **{"extractor": f"timm:{MODEL}", "extractor_weights": str(path), "extractor_args": args, **changes}
    )


CONFIGS: dict[str, Callable[[Path], EvaluationConfig]] = {
    "timm": lambda files: of_timm(files / "vit.safetensors"),
    "pt2": lambda files: exported("pt2", files / "small.pt2"),
    "torchscript": lambda files: exported("torchscript", files / "small.pt"),
}


@pytest.fixture(scope="module", params=CONFIGS)
def config(request: pytest.FixtureRequest, files: Path) -> EvaluationConfig:
    return CONFIGS[request.param](files)


@pytest.fixture
def load(config: EvaluationConfig) -> Callable[..., Extractor]:
    return EXTRACTORS[config.extractor_kind]


class TestExtractors(ExtractorSuite):
    pass


def noise(num: int, size: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (num, size, size, channels), dtype=np.uint8)


@pytest.mark.parametrize("size", [40, 160, 300])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_timms_features_are_those_of_timms_own_pictures(
    files: Path, small_store: TileStore, size: int, interpolation: str
) -> None:
    """Pillow resizes to whole numbers, which is all that is between them."""
    smooth = np.cumsum(np.cumsum(noise(3, size), 1, np.uint64), 2, np.uint64) // (64 * size) % 256
    tiles, model = smooth.astype(np.uint8), vit(num_classes=0)
    cfg = model.pretrained_cfg
    look = create_transform(
        cfg["input_size"], interpolation=interpolation, mean=cfg["mean"], std=cfg["std"], crop_pct=1
    )
    with torch.inference_mode():
        expected = model(torch.stack([look(Image.fromarray(tile)) for tile in tiles])).numpy()
    extractor = load_extractor(small_store, of_timm(files / "vit.bin", extractor_interpolation=interpolation))
    assert extractor.width == 64
    found = extractor.features(tiles, CPU)
    assert np.abs(found - expected).max() < (1e-4 if size == 160 else 0.05) * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["pt2", "torchscript"])
def test_an_exported_networks_features_are_its_own(files: Path, small_store: TileStore, kind: str) -> None:
    tiles = noise(70, 16)  # more than a batch
    pixels = torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255.0
    mean, std = (torch.tensor(PIXELS[f"extractor_{name}"]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        expected = seeded(Small)((pixels - mean) / std).numpy()
    found = load_extractor(small_store, CONFIGS[kind](files)).features(tiles, CPU)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    grey = load_extractor(small_store, CONFIGS[kind](files)).features(tiles[..., :1], CPU)
    np.testing.assert_array_equal(
        grey, load_extractor(small_store, CONFIGS[kind](files)).features(tiles[..., [0, 0, 0]], CPU)
    )


def test_a_frozen_script_is_taken_too(files: Path, small_store: TileStore, tmp_path: Path) -> None:
    torch.jit.save(torch.jit.freeze(torch.jit.script(seeded(Small))), tmp_path / "frozen.pt")
    frozen = load_extractor(small_store, exported("torchscript", tmp_path / "frozen.pt"))
    plain = load_extractor(small_store, CONFIGS["torchscript"](files))
    np.testing.assert_allclose(frozen.features(noise(3, 16), CPU), plain.features(noise(3, 16), CPU), atol=1e-5)


def test_torch_fidelity_with_the_same_network_gives_the_same_scores(
    files: Path, small_store: TileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tiles(torch.utils.data.Dataset):
        def __init__(self, tiles: np.ndarray) -> None:
            self.tiles = torch.from_numpy(tiles.copy()).permute(0, 3, 1, 2)

        def __len__(self) -> int:
            return len(self.tiles)

        def __getitem__(self, index: int) -> torch.Tensor:
            return self.tiles[index]

    evaluator = Evaluator.prepare(small_store, CONFIGS["pt2"](files))
    network, fake = evaluator.extractor.network, noise(evaluator.num_samples, 16)
    registered = type(
        "Registered", (type(network),), {"__new__": lambda *_, **__: network, "__init__": lambda *_, **__: None}
    )
    monkeypatch.setitem(FEATURE_EXTRACTORS_REGISTRY, "mine", registered)
    real = small_store.tiles(small_store.indices("test"))[: evaluator.num_samples]
    found = calculate_metrics(
        input1=Tiles(fake), input2=Tiles(real), fid=True, kid=True, kid_subset_size=len(real), kid_subsets=1,
        cuda=False, verbose=False, feature_extractor="mine", save_cpu_ram=True, cache=False,
    )  # fmt: skip
    ours = evaluator.scores(fake, evaluator.labels)
    what = f"{extractor_name(CONFIGS['pt2'](files))}/{len(real)}"
    assert ours[f"fid/{what}"] == pytest.approx(found["frechet_inception_distance"], rel=1e-4)
    assert ours[f"kid/{what}"] == pytest.approx(found["kernel_inception_distance_mean"], rel=1e-4)


def test_all_that_features_hang_on_is_in_the_name_and_nothing_else(files: Path, tmp_path: Path) -> None:
    first = of_timm(files / "vit.safetensors")
    others = [
        of_timm(files / "vit.bin"),
        of_timm(files / "vit.safetensors", extractor_size=64),
        of_timm(files / "vit.safetensors", extractor_mean=(0.5, 0.5, 0.4), extractor_std=(0.5, 0.5, 0.5)),
        of_timm(files / "vit.safetensors", extractor_interpolation="bilinear"),
        of_timm(files / "vit.safetensors", "init_values=1e-5 mlp_ratio=2 pool_include_prefix=True"),
        exported("pt2", files / "small.pt2"),
        exported("pt2", files / "small.pt2", extractor_size=32),
        exported("torchscript", files / "small.pt"),
    ]
    assert len({extractor_name(config) for config in (first, *others)}) == 1 + len(others)
    name = extractor_name(first)
    assert name.startswith(f"{MODEL}-") and len(name) == len(MODEL) + 9
    copy = shutil.copy(files / "vit.safetensors", tmp_path / "of another name.safetensors")
    same = [
        of_timm(Path(copy)),
        of_timm(files / "vit.safetensors", "mlp_ratio=2  init_values=0.00001", extractor_width=64),
    ]
    assert {extractor_name(config) for config in same} == {name}


def test_scores_carry_the_name_and_files_do_not_share_what_is_cached(files: Path, small_store: TileStore) -> None:
    two = [exported("pt2", files / "small.pt2", extractor_size=16, extractor_mean=(mean,) * 3) for mean in (0.5, 0.1)]
    evaluators = [Evaluator.prepare(small_store, config) for config in two]
    for evaluator, config in zip(evaluators, two, strict=True):
        scores = evaluator.scores(noise(evaluator.num_samples, 16), evaluator.labels)
        names = [name for name in scores if "/texture/" not in name]
        assert set(scores) <= set(score_names(config, small_store)) and f"kid/{evaluator.extractor.name}/20" in names
        assert {name.split("/")[1] for name in names} == {evaluator.extractor.name}
    assert evaluators[0].extractor.identity != evaluators[1].extractor.identity
    assert len({tuple(evaluator.floor) for evaluator in evaluators}) == 2


def test_a_settled_configuration_says_all_and_needs_no_file_for_the_name(
    files: Path, small_store: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = Path(shutil.copy(files / "vit.bin", tmp_path))
    monkeypatch.chdir(tmp_path)
    data = ExperimentConfig().data.model_copy(update={"store": str(small_store.path)})
    config = from_store(ExperimentConfig(data=data, evaluation=of_timm(Path("vit.bin"))))
    said = config.evaluation
    assert (said.extractor_weights, said.extractor_sha256) == (str(copied), sha256(copied))
    assert (said.extractor_size, said.extractor_interpolation, said.extractor_args) == (
        160, "bicubic", "init_values=1e-05 mlp_ratio=2"
    )  # fmt: skip
    assert from_store(config) == config
    name = extractor_name(of_timm(copied))
    [note] = notes(config, small_store)
    weights = sha256(copied)[:16]
    assert note == (
        f"{name} is timm test_vit (init_values=1e-05 mlp_ratio=2) with the weights of SHA-256 {weights}..., for tiles "
        "resized to 160 px (bicubic), mean 0.5, 0.5, 0.5, deviation 0.5, 0.5, 0.5"
    )
    copied.unlink()
    assert extractor_name(said) == name and any(name in score for score in score_names(said, small_store))


def test_a_folder_of_the_hugging_face_hub_says_what_its_weights_are_of(
    files: Path, small_store: TileStore, tmp_path: Path
) -> None:
    shutil.copy(files / "vit.bin", tmp_path / "pytorch_model.bin")
    settings = {
        "architecture": MODEL,
        "num_classes": 0,
        "model_args": {**ARGS, "img_size": 64, "num_classes": 0, "global_pool": "avg", "fc_norm": False},
        "pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.7, 0.6, 0.7], "std": [0.2, 0.2, 0.2],
                           "interpolation": "bilinear", "crop_pct": 1.0},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(settings))
    weights = load_file(files / "vit.safetensors")
    position = [name for name in weights if name.startswith("pos_embed")]
    assert position == ["pos_embed"]  # of 160 px: timm resamples it to 64
    folder = EvaluationConfig(extractor="timm", extractor_weights=str(tmp_path))
    spelled = of_timm(
        tmp_path / "pytorch_model.bin", f"{TOLD} global_pool=avg fc_norm=False", extractor_size=64,
        extractor_mean=(0.7, 0.6, 0.7), extractor_std="0.2 0.2, 0.2", extractor_interpolation="bilinear",
    )  # fmt: skip
    assert extractor_name(folder) == extractor_name(spelled)
    tiles = noise(2, 64)
    found = [load_extractor(small_store, config).features(tiles, CPU) for config in (folder, spelled)]
    np.testing.assert_array_equal(*found)
    model = vit(num_classes=0, img_size=64, global_pool="avg", fc_norm=False)
    with torch.random.fork_rng(devices=[]):
        again = timm.create_model(
            MODEL, pretrained=True, num_classes=0, img_size=64, global_pool="avg", fc_norm=False, **ARGS,
            pretrained_cfg_overlay={"file": str(tmp_path / "pytorch_model.bin"), "num_classes": 0},
        )  # fmt: skip
    with torch.inference_mode():
        pixels = (torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255 - torch.tensor([0.7, 0.6, 0.7]).view(3, 1, 1)) / 0.2
        np.testing.assert_allclose(found[0], again.eval()(pixels), rtol=1e-3, atol=1e-4)
    assert model.pos_embed.shape == again.pos_embed.shape


def test_a_layer_is_named_as_timm_does(files: Path, small_store: TileStore, tmp_path: Path) -> None:
    """As Virchow's and UNI 2's authors have it."""
    layers = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": nn.SiLU}
    model = seeded(lambda: timm.create_model(MODEL, num_classes=0, reg_tokens=2, **ARGS, **layers))
    save_file(model.state_dict(), tmp_path / "virchow.safetensors")
    args = f"{TOLD} reg_tokens=2 mlp_layer=SwiGLUPacked act_layer=SiLU"
    extractor = load_extractor(small_store, of_timm(tmp_path / "virchow.safetensors", args))
    cfg, tiles = model.pretrained_cfg, noise(2, 160)
    look = create_transform(cfg["input_size"], mean=cfg["mean"], std=cfg["std"], crop_pct=1)
    with torch.inference_mode():
        expected = model(torch.stack([look(Image.fromarray(tile)) for tile in tiles]))
    np.testing.assert_allclose(extractor.features(tiles, CPU), expected, rtol=1e-3, atol=1e-4)


def nan_weights(files: Path, folder: Path) -> EvaluationConfig:
    state = load_file(files / "vit.safetensors")
    state["norm.weight"][0] = float("nan")
    save_file(state, folder / "nan.safetensors")
    return of_timm(folder / "nan.safetensors")


def exported_as(save: Callable[..., None], network: nn.Module, kind: str, **changes: Any):
    def make(files: Path, folder: Path) -> EvaluationConfig:
        save(network, folder / "network")
        return exported(kind, folder / "network", **changes)

    return make


REFUSED: dict[str, tuple[Callable[[Path, Path], EvaluationConfig], str]] = {
    "no such file": (
        lambda files, folder: of_timm(folder / "none.bin"),
        r"cannot read evaluation\.extractor_weights .*none\.bin on \S+: No such file .*; put the file at this path on",
    ),
    "a file of other arrays": (
        lambda files, folder: of_timm(files / "vit.bin", None),
        r"are not those of timm's 'test_vit': the model lacks 12 arrays, such as blocks\.0\.ls1\.gamma, \S+ is .* in "
        r"the file and .* in the model; name the model that the file is of, and by evaluation\.extractor_args",
    ),
    "a file of another model": (
        lambda files, folder: of_timm(files / "vit.bin", None, extractor="timm:test_resnet"),
        r"are not those of timm's 'test_resnet': the file lacks \d+ arrays, such as \S+, the model lacks \d+ arrays",
    ),
    "no model of timm": (
        lambda files, folder: of_timm(files / "vit.bin", extractor="timm:test_vitt"),
        r"evaluation\.extractor 'timm:MODEL' must be .*a model of timm, but got 'test_vitt'; the nearest names are '",
    ),
    "no such weights of a model": (
        lambda files, folder: of_timm(files / "vit.bin", extractor="timm:test_vit.mine"),
        r"'timm:test_vit\.mine': Invalid pretrained tag \(mine\) for test_vit\. Leave out what is behind the dot",
    ),
    "a mean of other channels": (
        lambda files, folder: of_timm(files / "vit.bin", extractor_mean=(0.5,) * 5),
        r"mean and deviation of test_vit's channels must be as many, but are 5 and 3, one of them timm's own; state",
    ),
    "another file than is named": (
        lambda files, folder: of_timm(files / "vit.bin", extractor_sha256="0" * 64),
        r"vit\.bin on \S+ is not the file that evaluation\.extractor_sha256 names: its SHA-256 must be 000.*, but is ",
    ),
    "a pickle of more than arrays": (
        lambda files, folder: torch.save({"head": Path("/")}, folder / "a.bin") or of_timm(folder / "a.bin"),
        r"a\.bin holds no weights that can be read without running code from it .*; save the network's state_dict\(\)",
    ),
    "a folder without a word": (
        lambda files, folder: EvaluationConfig(extractor="timm", extractor_weights=str(folder)),
        r"takes a folder whose config\.json says which model .* has none that can be read .*; download the whole",
    ),
    "a folder for a file": (
        lambda files, folder: of_timm(folder),
        r"takes a file of weights, but .* is a folder; name the file, or take evaluation\.extractor 'timm'",
    ),
    "arguments that are none": (
        lambda files, folder: of_timm(files / "vit.bin", "init_values"),
        r"extractor_args must be NAME=VALUE with blanks between them, but has 'init_values'",
    ),
    "arguments that are said otherwise": (
        lambda files, folder: of_timm(files / "vit.bin", "img_size=96"),
        r"must not have 'img_size': that is said by evaluation\.extractor_size",
    ),
    "another width": (
        lambda files, folder: exported("pt2", files / "small.pt2", extractor_width=7),
        r"extractor_width is 7, but the network in .*small\.pt2 gives 6 features a tile; state that number if",
    ),
    "other channels than the network's": (
        lambda files, folder: exported("pt2", files / "small.pt2", extractor_mean=(0.5,), extractor_std=(0.5,)),
        r"takes tiles of 1 channels, as many as evaluation\.extractor_mean has numbers, but .* has 3; use",
    ),
    "another edge than the network's": (
        lambda files, folder: exported("pt2", files / "small.pt2", extractor_size=24),
        r"does not take 24 px tiles of 3 channels, .*\(AssertionError: Guard failed: .*; state what it was exported",
    ),
    "tokens": (
        exported_as(as_torchscript, Tokens(), "torchscript"),
        r"must give one vector a tile, \[2, features\] for 2 tiles, but gives \[2, 6, 4, 4\]; export it with",
    ),
    "weights that are no numbers": (nan_weights, r"are not finite, for tiles of noise already; are mean and deviation"),
    "a network that still trains": (
        exported_as(as_torchscript, Small().train(), "torchscript"),
        r"gives a tile other features alone than in a batch, or at each call: .*; call its eval\(\) before",
    ),
    "a batch of one length": (
        exported_as(lambda network, path: as_pt2(network, path, num=3), seeded(Small), "pt2"),
        r"in batches of any length \(AssertionError: .*or export it for that, with a batch of 2 and dynamic_shapes=",
    ),
    "a script for a program": (
        lambda files, folder: exported("pt2", files / "small.pt"),
        r"small\.pt is no file of torch\.export\.save, .*; save it so, or name the extractor that it is of",
    ),
    "a program for a script": (
        lambda files, folder: exported("torchscript", files / "small.pt2"),
        r"small\.pt2 is no file of torch\.jit\.save",
    ),
    "weights for a program": (
        lambda files, folder: exported("pt2", files / "vit.bin"), r"vit\.bin is no file of torch\.export\.save"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_as_is_said_is_refused_in_one_line(
    case: str, files: Path, small_store: TileStore, tmp_path: Path
) -> None:
    make, message = REFUSED[case]
    config = make(files, tmp_path)
    with pytest.raises(EvaluationError, match=message) as caught:
        load_extractor(small_store, config)
    said = str(pickle.loads(pickle.dumps(caught.value)))
    assert "\n" not in said and len(said) < 900


@pytest.mark.parametrize(
    "case", ["no such file", "no model of timm", "another file than is named", "a folder without a word",
             "other channels than the network's", "arguments that are none"],
)  # fmt: skip
def test_what_needs_no_loading_is_refused_before_anything_starts(
    case: str, files: Path, small_store: TileStore, tmp_path: Path
) -> None:
    make, message = REFUSED[case]
    with pytest.raises(EvaluationError, match=message):
        check_extractor(small_store, make(files, tmp_path))


@pytest.mark.parametrize("kind", ["pt2", "torchscript"])
def test_no_byte_of_an_exported_file_is_opened_unless_it_is_the_one_that_is_named(
    kind: str, files: Path, small_store: TileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(torch.export, "load", opened.append)
    monkeypatch.setattr(torch.jit, "load", lambda *read, **_: opened.append(read))
    path = files / ("small.pt2" if kind == "pt2" else "small.pt")
    with pytest.raises(EvaluationError, match=r"is not the file that evaluation\.extractor_sha256 names"):
        load_extractor(small_store, exported(kind, path, extractor_sha256="f" * 64))
    assert not opened


def test_features_that_are_not_finite_are_never_scored(files: Path, small_store: TileStore, tmp_path: Path) -> None:
    """A network that fails on some tiles alone passes the trial before the start."""

    class Root(Small):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.log(pixels[:, :2, ::8, ::8].mean((2, 3)).repeat(1, 3) + 4)

    as_torchscript(Root(), tmp_path / "root.pt")
    config = exported("torchscript", tmp_path / "root.pt", extractor_mean=(0.9,) * 3, extractor_std=(0.2,) * 3)
    extractor = load_extractor(small_store, config)
    tiles = np.full((5, 16, 16, 3), 200, np.uint8)
    tiles[2:4] = 0
    with pytest.raises(EvaluationError, match=r"features of 2 of 5 tiles are not finite in root-\w{8}, so no score"):
        extractor.features(tiles, CPU)


def test_tiles_of_five_channels_need_a_network_of_five(
    small_store: TileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_store, "channels", 5)
    model = seeded(lambda: timm.create_model("test_resnet", num_classes=0, in_chans=5))
    torch.save(model.state_dict(), tmp_path / "five.bin")
    said = {"extractor": "timm:test_resnet", "extractor_weights": str(tmp_path / "five.bin")}
    with pytest.raises(EvaluationError, match=r"takes tiles of 3 channels, .* but .* has 5"):
        check_extractor(small_store, EvaluationConfig(**said))
    config = EvaluationConfig(**said, extractor_mean=(0.5,) * 5, extractor_std=(0.5,) * 5, extractor_size=32)
    found = load_extractor(small_store, config).features(noise(2, 32, 5), CPU)
    with torch.inference_mode():
        expected = model(torch.from_numpy(noise(2, 32, 5)).permute(0, 3, 1, 2) / 127.5 - 1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
