"""A dask cluster and an S3 server on this machine, started once for all tests that ask for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from separation.pipeline.storage import Url

S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 server, which is in the environment too."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        yield address
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, request: pytest.FixtureRequest) -> Url:
    """A new, empty bucket."""
    import s3fs

    from separation.pipeline.storage import Url

    name = f"bucket-{os.urandom(4).hex()}"
    s3fs.S3FileSystem(endpoint_url=s3_endpoint).mkdir(name)
    return Url(f"s3://{name}")


@pytest.fixture(scope="session")
def dask_cluster(s3_endpoint: str) -> Iterator[Any]:
    """A LocalCluster of two processes that reach the S3 server."""
    from dask import config
    from dask.distributed import LocalCluster

    settings = {"distributed.worker.daemon": False, "distributed.scheduler.allowed-failures": 2}
    with (
        config.set(settings),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0, silence_logs=50
        ) as cluster,
    ):
        yield cluster
