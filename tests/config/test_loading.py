import re

import pytest
import yaml

from fedray.config import (
    ConfigError,
    ExperimentConfig,
    config_paths,
    flatten,
    load_config,
    nest,
    override,
    save_config,
    validate,
)


def test_a_config_survives_yaml(tmp_path):
    config = override(ExperimentConfig(), {"gan.n_critic": 2, "partition.scheme": "domain"}, "test")
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_every_problem_is_listed_with_path_value_rule_and_nearest_name(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("sed: 1\ngan: {n_critc: 2, n_critic: 0, generator_lr: fast}\nfederation: {client_fraction: 1.5}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"5 problems in {path}")
    for expected in (
        "sed: there is no such key; did you mean 'seed'?",
        "gan.n_critc: there is no such key; did you mean 'gan.n_critic'?",
        "gan.n_critic: input should be greater than or equal to 1, but got 0",
        "gan.generator_lr: input should be a valid number",
        "federation.client_fraction: input should be less than or equal to 1, but got 1.5",
    ):
        assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 1\n- 2\n", "must hold a mapping"),
        ("gan: {n_critic: 1\n", "is not valid YAML"),
        ("seed: 1\nseed: 2\n", "'seed' stands twice"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, expected):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=expected):
        load_config(tmp_path / "bad.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration file .*none.yaml"):
        load_config(tmp_path / "none.yaml")


def test_an_empty_file_is_all_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert load_config(tmp_path / "empty.yaml") == ExperimentConfig()


def test_scientific_notation_is_a_number(tmp_path):
    (tmp_path / "lr.yaml").write_text("gan: {generator_lr: 1e-3}\n")
    assert load_config(tmp_path / "lr.yaml").gan.generator_lr == 1e-3


def test_rules_across_sections_are_checked():
    with pytest.raises(ConfigError, match=r"federation\.aggregate must be 'both' in mode 'centralised'"):
        validate(ExperimentConfig, {"federation": {"mode": "centralised", "aggregate": "generator"}}, "test")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"tiles": "both"}, "'both' needs classification.synthetic"),
        ({"synthetic": "tiles"}, "classification.synthetic is 'tiles', but classification.tiles is 'real'"),
        ({"synthetic_per_real": 0.5}, "classification.synthetic_per_real is 0.5, but classification.tiles is 'real'"),
        ({"tiles": "both", "synthetic": "tiles", "synthetic_per_real": 0}, "greater than 0"),
        ({"label_sampling": "balanced", "label_weights": "balanced"}, "leave one of them out"),
    ],
)
def test_what_would_not_be_read_or_counts_twice_is_refused(values, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        validate(ExperimentConfig, {"task": "classification", "classification": values}, "test")


def test_no_site_has_synthetic_tiles():
    synthetic = {"tiles": "synthetic", "synthetic": "tiles"}
    values = {"task": "classification", "classification": synthetic, "data": {"store": "sites"}}
    with pytest.raises(ConfigError, match="no site has the synthetic tiles"):
        validate(ExperimentConfig, values, "test")


def test_paths_are_the_leaves_of_the_yaml():
    assert config_paths() == list(flatten(ExperimentConfig().model_dump()))
    assert nest(flatten(ExperimentConfig().model_dump())) == ExperimentConfig().model_dump()


def test_a_path_through_a_value_is_refused():
    with pytest.raises(ConfigError, match="goes through 'seed'"):
        override(ExperimentConfig(), {"seed.value": 1}, "test")


def test_configs_are_frozen_and_hashable():
    config = ExperimentConfig()
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1
    assert hash(config) == hash(ExperimentConfig())


def test_every_field_is_documented():
    def undocumented(model, prefix=""):
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from undocumented(field.annotation, f"{prefix}{name}.")
            elif not field.description:
                yield prefix + name

    assert list(undocumented(ExperimentConfig)) == []


def test_saved_yaml_is_plain(tmp_path):
    save_config(ExperimentConfig().resolved(), tmp_path / "config.yaml")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["gan"]["n_critic"] == 5
