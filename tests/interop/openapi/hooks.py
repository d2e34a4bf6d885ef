"""What schemathesis cannot make up: pictures, and the names of models that are there."""
import base64

import schemathesis
from hypothesis import strategies as st

from served import MODEL, files

PICTURES = st.sampled_from(files())

# Where the description says bytes, one file in two is a picture: the rest are whatever comes.
schemathesis.openapi.format("byte", st.one_of(PICTURES, st.binary(max_size=64)).map(lambda file: base64.b64encode(file).decode()))
schemathesis.openapi.format("binary", st.one_of(PICTURES, st.binary(max_size=64)).map(schemathesis.Binary) if hasattr(schemathesis, "Binary") else PICTURES)
for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, st.one_of(PICTURES, st.binary(max_size=64)))


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Two requests of three are for a model that is there."""
    if path_parameters and "model" in path_parameters and hash(str(path_parameters)) % 3:
        path_parameters["model"] = MODEL
        if "version" in path_parameters and str(path_parameters["version"]).isdigit():
            path_parameters["version"] = 1
    return path_parameters


@schemathesis.hook
def filter_query(context, query):
    """A deadline of a few milliseconds is passed now and then, and 504 is what the client asked for."""
    timeout = str((query or {}).get("timeout_ms", ""))
    return not timeout.isdigit() or int(timeout) == 0 or int(timeout) >= 1000
