"""What a request costs a server: one turn of `resnetd bench` over kept connections, with the processor's time beside it.

For scripts that compare settings by turns: each turn is a process of its own, since what a process has is not only what is set (where its
memory lies, which core its threads began on), and machines are noisy.
"""
import json
import re
import statistics
import subprocess
import urllib.request

CONNECTIONS = 16
ANSWERED = re.compile(r'resnetd_requests_total\{[^}]*code="OK"[^}]*\} (\d+)')


def metrics(server, scheme="http", context=None):
    """The text of /metrics.

    * context: of Python's ssl, where the server speaks TLS
    """
    return urllib.request.urlopen("{}://{}:{}/metrics".format(scheme, *server.http), context=context).read().decode()


def turn(server, binary, seconds, options=(), scheme="http", context=None):
    """Requests a second, and the server's processor seconds for one; the warm-up is part of the second.

    * options: further ones of `resnetd bench`
    """
    command = [binary, "bench", "--url", "{}://{}:{}".format(scheme, *server.http), "--connections", str(CONNECTIONS), "--warmup", "0.5"]
    before = server.processor_seconds()
    said = subprocess.run([*command, "--duration", str(seconds), "--format", "json", *options], check=True, capture_output=True).stdout
    used = server.processor_seconds() - before
    answered = sum(int(count) for count in ANSWERED.findall(metrics(server, scheme, context)))
    run = json.loads(said)["runs"][0]
    return run["requests_per_second"], used / answered


def tell(what, ratios):
    """The median of some ratios, and all of them."""
    print(f"{what}, median {statistics.median(ratios):.4f} of {' '.join(f'{ratio:.3f}' for ratio in sorted(ratios))}", flush=True)
