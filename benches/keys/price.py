"""What keys, tokens and TLS cost those who are let in: a server without any of them beside one with each, by turns.

    python3 benches/keys/price.py --binary target/release/resnetd [--rounds 8] [--seconds 4] [--keys 1000] [--grpc] [--tokens 1000]

All are the same binary with the built-in model, started anew for every turn, loaded by 16 kept connections of `resnetd bench` one after the
other, each round in another order. `keys` has a file of so many keys, each with limits that are counted and never reached; `oidc` an issuer
of tokens (ES256), one of which comes with every request and is checked once; `tls` a certificate of a P-256 key (TLS 1.3); `both` has keys
and TLS. For each turn it prints requests a second and the server's processor time for one, and at the end the medians of the rounds' ratios
over the server without any. `bench` runs on the same cores and seals and opens records as well, so the ratio of requests a second has the
client's price in it, too; the processor time is the server's alone.
With --tokens instead: what the check of a token costs that has not come before, by the server's processor time for a small request, over one
connection, with so many tokens of which each comes once and with one that was checked before as often, by turns.
Needs Python, openssl 3 and Linux; asks 127.0.0.1 only.
"""
import argparse
import http.client
import pathlib
import ssl
import statistics
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("benches/hostile", "benches/support", "tests/interop/tls")]
import turns  # noqa: E402
from certificates import Authority  # noqa: E402
from issuer import Issuer  # noqa: E402
from key_file import write_keys  # noqa: E402
from target import Server  # noqa: E402

# Counted for every request, and never reached.
LIMITS = "requests_per_second = 1000000\nimages_per_second = 1000000\nmax_in_flight = 1000"


class Way:
    """How a server is set, and how it is asked then."""

    def __init__(self, settings, options, authority=None):
        self.settings, self.options = settings, options
        self.scheme = "https" if authority else "http"
        self.context = ssl.create_default_context(cafile=str(authority)) if authority else None

    def turn(self, binary, seconds, more):
        server = Server(binary, {"RESNETD__RUNTIME__PROVIDER": "cpu", **self.settings})
        try:
            return turns.turn(server, binary, seconds, [*self.options, *more], self.scheme, self.context)
        finally:
            server.stop()


def ways(folder, count):
    key_file, shown = folder / "keys.toml", folder / "key"
    # One from the middle: which one it is must not matter.
    shown.write_text(write_keys(key_file, count, LIMITS)[count // 2])
    shown.chmod(0o600)
    issuer, token = Issuer(folder), folder / "token"
    token.write_text(issuer.token("bench"))
    token.chmod(0o600)
    authority = Authority(folder, "authority")
    cert, key = authority.issue("server", ["IP:127.0.0.1"])
    public = {"RESNETD__AUTH__PUBLIC": '["livez", "readyz", "metrics"]'}
    keys = {"RESNETD__AUTH__KEYS_FILE": str(key_file), **public}
    tls = {"RESNETD__TLS__CERT": str(cert), "RESNETD__TLS__KEY": str(key)}
    with_key, with_ca = ["--api-key-file", str(shown)], ["--ca", str(authority.cert)]
    return {
        "plain": Way({}, []),
        "keys": Way(keys, with_key),
        "oidc": Way({**issuer.settings(), **public}, ["--api-key-file", str(token)]),
        "tls": Way(tls, with_ca, authority.cert),
        "both": Way({**keys, **tls}, [*with_key, *with_ca], authority.cert),
    }


def ask(connection, tokens):
    """A small request with each token."""
    for token in tokens:
        connection.request("GET", "/v1/models/resnet20-cifar10", headers={"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status


def first_checks(binary, count, rounds):
    """Prints microseconds of processor for a request whose token is new, and for one whose token was checked before."""
    with tempfile.TemporaryDirectory() as folder:
        issuer = Issuer(pathlib.Path(folder))
        costs = {"new": [], "known": []}
        # A server remembers what it has checked, so each round has its own.
        for number in range(rounds):
            server = Server(binary, {"RESNETD__RUNTIME__PROVIDER": "cpu", **issuer.settings()})
            try:
                connection = http.client.HTTPConnection(*server.http, timeout=60)
                known, *fresh = [issuer.token(f"{number}-{token}") for token in range(count + 1)]
                ask(connection, [known] * count)
                kinds = [("new", fresh), ("known", [known] * count)]
                for kind, tokens in kinds if number % 2 == 0 else reversed(kinds):
                    before = server.processor_seconds()
                    ask(connection, tokens)
                    costs[kind].append(1e6 * (server.processor_seconds() - before) / count)
            finally:
                server.stop()
    for kind, of in costs.items():
        print(f"{kind:>6} token: {statistics.median(of):.0f} us of processor a request, of {' '.join(f'{cost:.0f}' for cost in sorted(of))}")
    print(f"  a check: {statistics.median(new - known for new, known in zip(*costs.values())):.0f} us")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/resnetd")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--keys", type=int, default=1_000)
    parser.add_argument("--grpc", action="store_true", help="calls of gRPC on the HTTP port instead of HTTP/1.1")
    parser.add_argument("--tokens", type=int, help="the check of so many tokens that have not come before, instead")
    arguments = parser.parse_args()
    if arguments.tokens:
        first_checks(arguments.binary, arguments.tokens, arguments.rounds)
        return
    more = ["--protocol", "grpc"] if arguments.grpc else []
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        named = ways(pathlib.Path(folder), arguments.keys)
        names = list(named)
        for number in range(arguments.rounds):
            # Each comes first, in the middle and last, and behind each other.
            turned = number // 2 % len(names)
            order = names[turned:] + names[:turned]
            figures = {}
            for name in order if number % 2 == 0 else reversed(order):
                figures[name] = rate, cost = named[name].turn(arguments.binary, arguments.seconds, more)
                print(f"{name:>6}: {rate:7.0f} requests/s, {1e6 * cost:6.1f} us of processor each", flush=True)
            for name in names[1:]:
                for kind, own, plain in zip(("requests a second", "processor time"), figures[name], figures["plain"]):
                    ratios.setdefault((name, kind), []).append(own / plain)
    for (name, kind), of in ratios.items():
        turns.tell(f"{kind}: {name} over plain", of)


if __name__ == "__main__":
    main()
