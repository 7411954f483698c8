"""Make a login on the tracking server, or give one a new password: add_user.py NAME.

The password is read from the terminal, or is all that comes by stdin: on a command line everybody would see it. The
administrator's login is MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; in the server's container, where these
are not set, it is that of its first start. The server is MLFLOW_TRACKING_URI, or http://127.0.0.1:5000.
"""

import getpass
import os
import sys

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.server import get_app_client

SHORTEST = 12  # characters: MLflow's own rule


def main(arguments: list[str]) -> str:
    """Do it, and say what was done.

    Raises:
        SystemExit: The arguments, the password or the login are at fault; the message says how.
    """
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise SystemExit("usage: add_user.py NAME, with the password from the terminal or by stdin")
    name = arguments[0]
    if "MLFLOW_TRACKING_PASSWORD" not in os.environ and (first := os.environ.get("MLFLOW_AUTH_ADMIN_PASSWORD")):
        os.environ |= {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": first}
    password = getpass.getpass(f"password of {name}: ") if sys.stdin.isatty() else sys.stdin.read().rstrip("\n")
    if len(password) < SHORTEST:
        raise SystemExit(f"a password must have at least {SHORTEST} characters, but this one has {len(password)}")
    users = get_app_client("basic-auth", os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000"))
    try:
        users.create_user(name, password)
        return f"made {name}"
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise SystemExit(f"{name} was not made: {error}") from None
    users.update_user_password(name, password)
    return f"{name} has a new password"


if __name__ == "__main__":
    print(main(sys.argv[1:]))
