"""Sites with tiles of their own: they are asked first what they have, and every message says how it counts.

Nobody but a site opens its store. The server learns how large tiles are, how many training tiles each site has, and the
names of labels and domains; a site that has some of the labels only counts them as all others do, by their names.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedray.config import SITES, ExperimentConfig
from fedray.data import Census, StoreError, TileShape, TileSource, own_store, partitioned_store, site_store
from fedray.federation.failures import FederationError, failure_lines
from fedray.federation.grids import PassingGrid
from fedray.federation.messages import CONFIG, experiment_record
from fedray.federation.traffic import Part
from fedray.storage import digest

STORE = "store"
"""Key of Flower's node configuration: path of the site's own tile store."""
DESCRIBE = f"{MessageType.QUERY}.describe"
CENSUS = "census"
"""Record of the answer: ``size``, ``channels``, ``labels``, ``domains``, ``num-tiles`` and ``fingerprint``."""
AGREED = "agreed"
"""Record of every later message: names of all ``labels`` and ``domains``, in the order of their codes, and ``run``."""
RUN = "run"
"""Names the experiment over restarts: a site keeps its client's state under it; empty where that ends with it."""

MESSAGES = (
    Part(
        "server", "query.describe", "config", "experiment", "the configuration of the experiment", "each site",
        "once, before the first round", "2 to 5 kB",
    ),
    Part(
        "site", "query.describe", CENSUS, "size|channels|labels|domains|num-tiles|fingerprint",
        "edge and channels of its tiles, names of its labels and domains, number of training tiles, hash of its store",
        "server",
        "the same", "the names",
    ),
    Part(
        "server", ".+", AGREED, "labels|domains|run",
        "names of the labels and domains of all sites together, and of the run", "each site",
        "every message after that", "the names",
    ),
)  # fmt: skip
"""What is sent beside the messages of a round where sites have tiles of their own."""


# The clients.


def source_of(config: ExperimentConfig, message: Message, context: Context) -> TileSource:
    """Return where a client's tiles come from: its own store if its node configuration names one, else its share.

    Raises:
        StoreError: The site has no store where every site must, or has one that is not asked for.
    """
    if STORE not in context.node_config and config.data.store != SITES:
        return partitioned_store(config)
    path = _own_path(context)
    agreed = message.content.config_records.get(AGREED, ConfigRecord({"labels": [], "domains": []}))
    return own_store(path, config.data, names_in(agreed, "labels"), names_in(agreed, "domains"))


def described(config: ExperimentConfig, context: Context) -> ConfigRecord:
    """Say what a site's own tiles are like, without one of them. Errors as of :func:`source_of`."""
    store = site_store(_own_path(context), config.data)
    return ConfigRecord(
        {
            "size": store.tile_size,
            "channels": store.channels,
            "labels": list(store.label_names),
            "domains": list(store.domain_names),
            "num-tiles": len(store.indices("train")),
            "fingerprint": store.fingerprint,
        }
    )


def _own_path(context: Context) -> str:
    if STORE not in context.node_config:
        raise StoreError(
            f"data.store is {SITES!r}, but this site's node configuration names no store; start its SuperNode with "
            "--node-config 'store=\"/path/of/the/store\"'"
        )
    return str(context.node_config[STORE])


# The server.


def ask_sites(grid: Grid, config: ExperimentConfig, named: Mapping[int, str] | None = None) -> Census:
    """Ask all sites what tiles they have.

    Args:
        grid: Where they are.
        config: Of the experiment.
        named: Their names, by node id; unset: as of :func:`site_names`.

    Raises:
        FederationError: There is no site, one did not answer, their tiles do not go together, or one has a label that
            the experiment does not know.
    """
    names = named or site_names(grid)
    nodes = sorted(names)
    if not nodes:
        raise FederationError("no site is connected: start a SuperNode at every site before the run")
    header = experiment_record(config)
    messages = [Message(RecordDict({CONFIG: header}), node, DESCRIBE) for node in nodes]
    replies = list(grid.send_and_receive(messages, timeout=config.federation.round_timeout_s))
    answers = {
        reply.metadata.src_node_id: reply.content.config_records[CENSUS] for reply in replies if not reply.has_error()
    }
    if len(answers) < len(nodes):
        missing = f"{len(nodes) - len(answers)} of {len(nodes)} sites did not say what tiles they have:"
        raise FederationError("\n".join([missing, *failure_lines(messages, replies)]))
    return merged({names[node]: answers[node] for node in nodes}, config.data.labels)


@runtime_checkable
class NamingGrid(Protocol):
    """A grid that knows its nodes by the names under which their keys were registered: a SuperLink's."""

    def get_nodes(self) -> Iterable[Any]:
        """Return what is known of each node: ``node_id`` and ``name`` among it."""
        ...


def site_names(grid: Grid) -> dict[int, str]:
    """Name the sites that are connected, by node id: as their keys were registered, or by their nodes."""
    found = {node: f"node {node}" for node in grid.get_node_ids()}
    if isinstance(grid, NamingGrid):
        found |= {node.node_id: node.name for node in grid.get_nodes() if node.name and node.node_id in found}
    return found


def merged(answers: Mapping[str, ConfigRecord], known: Sequence[str] | None = None) -> Census:
    """Put together what the sites said, by their names.

    Labels and domains keep their order where all sites have the same; otherwise they are sorted, so that it does not
    matter which site is asked first.

    Args:
        answers: Of the sites.
        known: Labels of the experiment, in the order of their codes; unset: those that the sites have.

    Raises:
        FederationError: Tiles of different sizes or numbers of channels, or of a label that is not known.
    """
    for what, unit in (("size", "px"), ("channels", "channels")):
        found = {site: _number(answer, what) for site, answer in answers.items()}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{site}: {value} {unit}" for site, value in found.items())
            raise FederationError(
                f"the tiles of all sites must be alike, but are not ({told}); make the stores anew with one --size"
            )
    first = next(iter(answers.values()))
    labels, domains = (_union([names_in(answer, key) for answer in answers.values()]) for key in ("labels", "domains"))
    if known is not None:
        _check_known({site: names_in(answer, "labels") for site, answer in answers.items()}, known)
        labels = tuple(known)
    sizes = tuple(_number(answer, "num-tiles") for answer in answers.values())
    shape = TileShape(_number(first, "size"), _number(first, "channels"), len(labels), len(domains))
    stores = digest(json.dumps([answer["fingerprint"] for _, answer in sorted(answers.items())]).encode())
    return Census(shape, labels, domains, sizes, stores)


def _check_known(labels: Mapping[str, Sequence[str]], known: Sequence[str]) -> None:
    """Refuse labels that the experiment does not know: a misspelt one would be a label of its own."""
    strange = {site: [name for name in names if name not in known] for site, names in sorted(labels.items())}
    if told := [f"{site} has {', '.join(map(repr, names))}" for site, names in strange.items() if names]:
        raise FederationError(
            f"sites have labels that data.labels does not name: {'; '.join(told)}; it has "
            f"{', '.join(map(repr, known))}. Have the site name its labels like that, or add the label there"
        )


class AgreedGrid(PassingGrid):
    """Tells every site in every message how labels and domains count."""

    def __init__(self, grid: Grid, census: Census, run: str = "") -> None:
        """Take the grid of the sites, what they said, and what names the run over restarts."""
        super().__init__(grid)
        names = {"labels": list(census.label_names), "domains": list(census.domain_names)}
        self._agreed = ConfigRecord({**names, RUN: run})

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Pass on to the grid, with the names."""
        return self._grid.push_messages(self._told(messages))

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Pass on to the grid, with the names."""
        return self._grid.send_and_receive(self._told(messages), timeout=timeout)

    def _told(self, messages: Iterable[Message]) -> list[Message]:
        told = list(messages)
        for message in told:
            message.content[AGREED] = self._agreed
        return told


def _union(lists: Sequence[Sequence[str]]) -> tuple[str, ...]:
    if all(list(names) == list(lists[0]) for names in lists):
        return tuple(lists[0])
    return tuple(sorted({name for names in lists for name in names}))


def names_in(record: ConfigRecord, key: str) -> list[str]:
    """Return names out of a record."""
    names = record[key]
    assert isinstance(names, list)
    return [str(name) for name in names]


def _number(record: ConfigRecord, key: str) -> int:
    value = record[key]
    assert isinstance(value, int)
    return value
