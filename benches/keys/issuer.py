"""An issuer of OIDC tokens on the loopback address: one key of ES256, whose public half it hands out, and what it has signed. By openssl 3."""
import base64
import http.server
import json
import subprocess
import threading
import time

from certificates import new_key

AUDIENCE = "resnetd"
# DER: a sequence of two integers, as openssl writes a signature; the last 64 bytes of a public key of P-256 are its point.
COORDINATE_BYTES = 32


def encoded(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def openssl(*arguments, said=b""):
    return subprocess.run(["openssl", *map(str, arguments)], input=said, check=True, capture_output=True).stdout


def fixed(signature):
    """The two numbers of a signature in 32 bytes each (JWS), from DER."""
    numbers, at = b"", 2
    for _ in range(2):
        length = signature[at + 1]
        number = signature[at + 2 : at + 2 + length].lstrip(b"\0")
        numbers += number.rjust(COORDINATE_BYTES, b"\0")
        at += 2 + length
    return numbers


class Issuer:
    def __init__(self, folder):
        self.key = folder / "issuer.key"
        new_key(self.key)
        point = openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER")[-2 * COORDINATE_BYTES :]
        x, y = (encoded(part) for part in (point[:COORDINATE_BYTES], point[COORDINATE_BYTES:]))
        keys = {"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": x, "y": y}]}
        document = json.dumps(keys).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("content-length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:{}".format(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def settings(self):
        """What a server has to be told to let its tokens in."""
        section = "RESNETD__AUTH__OIDC__"
        return {f"{section}ISSUER": self.url, f"{section}AUDIENCES": f'["{AUDIENCE}"]', f"{section}JWKS_URL": f"{self.url}/keys"}

    def token(self, subject):
        """One for an hour."""
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": int(time.time()), "exp": int(time.time()) + 3600}
        parts = [{"alg": "ES256", "kid": "1", "typ": "JWT"}, claims]
        signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{encoded(fixed(openssl('dgst', '-sha256', '-sign', self.key, said=signed.encode())))}"
