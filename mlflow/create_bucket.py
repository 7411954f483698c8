"""Create the bucket of MLFLOW_ARTIFACTS_DESTINATION (s3://BUCKET/...) unless it stands."""

import os
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    """Read the address and the store's endpoint from the environment, as the server does."""
    bucket = urlsplit(os.environ["MLFLOW_ARTIFACTS_DESTINATION"]).netloc
    store = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
    try:
        store.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        store.create_bucket(Bucket=bucket)
        print(f"created the bucket {bucket}")


if __name__ == "__main__":
    main()
