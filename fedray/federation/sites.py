"""Sites with tiles of their own: they are asked first what they have, and every message says how it counts.

Nobody but a site opens its store. The server learns how large tiles are, how many training tiles each site has, and the
names of labels and domains; a site that has some of the labels only counts them as all others do, by their names.
"""

from collections.abc import Iterable, Mapping, Sequence

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedray.config import SITES, ExperimentConfig
from fedray.data import Census, StoreError, TileShape, TileSource, own_store, partitioned_store, site_store
from fedray.federation.failures import FederationError, failure_lines
from fedray.federation.grids import PassingGrid
from fedray.federation.messages import CONFIG, experiment_record
from fedray.federation.traffic import Part

STORE = "store"
"""Key of Flower's node configuration: path of the site's own tile store."""
DESCRIBE = f"{MessageType.QUERY}.describe"
TILES = "tiles"
"""Record of the answer: ``size``, ``channels``, ``labels``, ``domains`` and ``num-tiles``."""
AGREED = "agreed"
"""Record of every later message: names of all ``labels`` and ``domains``, in the order of their codes."""

MESSAGES = (
    Part(
        "server", "query.describe", "config", "experiment", "the configuration of the experiment", "each site",
        "once, before the first round", "2 to 5 kB",
    ),
    Part(
        "site", "query.describe", TILES, "size|channels|labels|domains|num-tiles",
        "edge and channels of its tiles, names of its labels and domains, number of training tiles", "server",
        "the same", "the names",
    ),
    Part(
        "server", ".+", AGREED, "labels|domains", "names of the labels and domains of all sites together",
        "each site", "every message after that", "the names",
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
    return own_store(path, config.data, _names(agreed, "labels"), _names(agreed, "domains"))


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


def ask_sites(grid: Grid, config: ExperimentConfig) -> Census:
    """Ask all sites what tiles they have.

    Raises:
        FederationError: There is no site, one did not answer, or their tiles do not go together.
    """
    nodes = sorted(grid.get_node_ids())
    if not nodes:
        raise FederationError("no site is connected: start a SuperNode at every site before the run")
    header = experiment_record(config)
    messages = [Message(RecordDict({CONFIG: header}), node, DESCRIBE) for node in nodes]
    replies = list(grid.send_and_receive(messages, timeout=config.federation.round_timeout_s))
    answers = {
        reply.metadata.src_node_id: reply.content.config_records[TILES] for reply in replies if not reply.has_error()
    }
    if len(answers) < len(nodes):
        missing = f"{len(nodes) - len(answers)} of {len(nodes)} sites did not say what tiles they have:"
        raise FederationError("\n".join([missing, *failure_lines(messages, replies)]))
    return merged({node: answers[node] for node in nodes})


def merged(answers: Mapping[int, ConfigRecord]) -> Census:
    """Put together what the sites said, by node id.

    Labels and domains keep their order where all sites have the same; otherwise they are sorted, so that it does not
    matter which site is asked first.

    Raises:
        FederationError: Tiles of different sizes or numbers of channels.
    """
    for what, unit in (("size", "px"), ("channels", "channels")):
        found = {node: _number(answer, what) for node, answer in answers.items()}
        if len(set(found.values())) > 1:
            told = ", ".join(f"node {node}: {value} {unit}" for node, value in found.items())
            raise FederationError(
                f"the tiles of all sites must be alike, but are not ({told}); make the stores anew with one --size"
            )
    first = next(iter(answers.values()))
    labels, domains = (_union([_names(answer, key) for answer in answers.values()]) for key in ("labels", "domains"))
    sizes = tuple(_number(answer, "num-tiles") for answer in answers.values())
    shape = TileShape(_number(first, "size"), _number(first, "channels"), len(labels), len(domains))
    return Census(shape, labels, domains, sizes)


class AgreedGrid(PassingGrid):
    """Tells every site in every message how labels and domains count."""

    def __init__(self, grid: Grid, census: Census) -> None:
        """Take the grid of the sites, and what they said."""
        super().__init__(grid)
        self._agreed = ConfigRecord({"labels": list(census.label_names), "domains": list(census.domain_names)})

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


def _names(record: ConfigRecord, key: str) -> list[str]:
    names = record[key]
    assert isinstance(names, list)
    return [str(name) for name in names]


def _number(record: ConfigRecord, key: str) -> int:
    value = record[key]
    assert isinstance(value, int)
    return value
