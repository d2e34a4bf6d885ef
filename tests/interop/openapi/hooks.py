"""What schemathesis cannot make up: pictures, names of models that are there, and what a body says of itself.

Nothing is passed over here but an answer that the client asked for: 504 to a deadline of less than a second.
"""
import base64

import schemathesis
from hypothesis import strategies as st

from served import MODEL, files

# Where the description says bytes, one in two is a picture: the rest is whatever comes.
BYTES = st.one_of(st.sampled_from(files()), st.binary(max_size=64))
schemathesis.openapi.format("byte", BYTES.map(lambda file: base64.b64encode(file).decode()))
schemathesis.openapi.format("binary", BYTES)
for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, BYTES)

PACKED = {"gzip", "deflate", "br", "zstd"}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Most requests are for a model that is there."""
    if path_parameters and "model" in path_parameters and len(str(path_parameters["model"])) % 4:
        path_parameters["model"] = MODEL
        if str(path_parameters.get("version", "")).isdigit():
            path_parameters["version"] = 1
    return path_parameters


@schemathesis.hook
def before_call(context, case, kwargs):
    """A body is never packed, so a header that says so is a lie that no schema can see. Other codings stay, and are refused."""
    if case.headers and case.headers.get("content-encoding") in PACKED:
        del case.headers["content-encoding"]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A deadline of a few milliseconds may pass."""
    timeout = str((case.query or {}).get("timeout_ms", ""))
    return not (response.status_code == 504 and timeout.isdigit() and int(timeout) < 1000)
