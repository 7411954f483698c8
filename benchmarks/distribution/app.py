"""FedRay's clients, as far as tiles are handed to them, and a question that shows whether they have them."""

from hashlib import sha256

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedray.federation import client_app
from fedray.federation.handed import HANDED, TILES

DIGEST = "digest"

app = ClientApp()


@app.query("take_tiles")
def take_tiles(message: Message, context: Context) -> Message:
    """Do what FedRay's client does."""
    return client_app(message, context)


@app.query(DIGEST)
def digest(message: Message, context: Context) -> Message:
    """Tell the SHA-256 of the tiles that the client has."""
    tiles = context.state.array_records[HANDED][TILES].numpy()
    return Message(RecordDict({DIGEST: ConfigRecord({DIGEST: sha256(tiles.tobytes()).hexdigest()})}), reply_to=message)
