"""Certificates by openssl: an authority, and what it vouches for."""
import pathlib
import subprocess


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"openssl {' '.join(map(str, arguments))}: {done.stderr}")


def new_key(path, kind="ec"):
    options = {"ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]}
    openssl("genpkey", "-quiet", *options[kind], "-out", path)


class Authority:
    """Whoever vouches for others."""

    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder)
        self.cert, self.key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        new_key(self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-subj", f"/CN={name}", "-days", "30", "-out", self.cert,
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, names, kind="ec", usage="serverAuth,clientAuth", days=30):
        """NAME.crt and NAME.key with these names (SAN as openssl writes it); days below zero: it has expired."""
        cert, key, request, extensions = (self.folder / f"{name}.{end}" for end in ("crt", "key", "csr", "ext"))
        new_key(key, kind)
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        extensions.write_text(f"subjectAltName={','.join(names)}\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n")
        # An old openssl takes no days below zero; `x509 -not_after` came with 3.4.
        past = ["-days", str(days)] if days > 0 else None
        if past:
            openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-extfile", extensions, *past, "-out", cert)
        else:
            self._issue_expired(request, extensions, cert)
        return cert, key

    def _issue_expired(self, request, extensions, cert):
        store = self.folder / "expired-ca"
        store.mkdir(exist_ok=True)
        (store / "index").write_text("")
        (store / "serial").write_text("1000\n")
        (store / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=it\n[it]\ndatabase={store}/index\nserial={store}/serial\nnew_certs_dir={store}\ndefault_md=sha256\n"
            "policy=any\n[any]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-notext", "-config", store / "ca.cnf", "-cert", self.cert, "-keyfile", self.key, "-in", request,
                "-extfile", extensions, "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-out", cert)
