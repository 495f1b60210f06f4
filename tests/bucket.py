"""A bucket on this machine: an emulator of Google Cloud Storage, which gcsfs and TensorStore are sent to."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from http.server import HTTPServer
from unittest import mock

NAME = "bucket"


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Serves an empty bucket and gives its address, gs://bucket.

    One a process: gcsfs and TensorStore keep where they were sent to first.
    """
    from gcp_storage_emulator import server
    from gcp_storage_emulator.handlers import objects

    download = objects.download

    def download_with_generation(request, response, storage, *args, **kwargs):
        """TensorStore makes its writes depend on the generation that it read; the real service always sends it."""
        download(request, response, storage, *args, **kwargs)
        if response.status.value < 300:
            about = storage.get_file_obj(request.params["bucket_name"], request.params["object_id"])
            response["x-goog-generation"] = about["generation"]

    def move(request, response, storage, *args, **kwargs):
        """What gcsfs renames with; without it, it tries for minutes before it copies."""
        objects.copy(request, response, storage)
        objects.delete(request, response, storage)

    path = r"^/storage/v1/b/(?P<bucket_name>(?P<dest_bucket_name>[-.\w]+))/o/(?P<object_id>.+)"
    moves = (path + "/moveTo/o/(?P<dest_object_id>.+)$", {"POST": move})
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    address = f"http://localhost:{port}"
    with (
        mock.patch.dict(os.environ, sent_to(address)),
        mock.patch.object(objects, "download", download_with_generation),
        mock.patch.object(server, "HANDLERS", (moves, *server.HANDLERS)),
        mock.patch.object(HTTPServer, "request_queue_size", 128),
        mock.patch.object(HTTPServer, "handle_error"),  # a client that hangs up early is none
        mock.patch.object(server.RequestHandler, "log_message"),
        quiet(),
    ):
        running = server.create_server("localhost", port, in_memory=True, default_bucket=NAME)
        running.start()
        try:
            yield f"gs://{NAME}"
        finally:
            running.stop()


def sent_to(address: str) -> dict[str, str]:
    """The environment in which a process finds the bucket."""
    return {
        "STORAGE_EMULATOR_HOST": address,
        "TENSORSTORE_GCS_HTTP_URL": address,
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # asks the real service what kind of bucket it is
        "NO_GCE_CHECK": "true",
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The emulator logs each object that is not there; google.auth, that there are no credentials."""
    loggers = [logging.getLogger(name) for name in ("gcp_storage_emulator", "google.auth", "gcsfs")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
