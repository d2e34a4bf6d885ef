"""A file of keys, as `resnetd keys add` writes it."""
import hashlib
import secrets


def write_keys(path, count, more=""):
    """So many keys of chance, which it gives.

    * more: further lines of each entry
    """
    keys = ["resnetd_" + secrets.token_hex(32) for _ in range(count)]
    entry = '[[keys]]\nname = "key{}"\nhash = "sha256:{}"\n{}\n'
    path.write_text("".join(entry.format(place, hashlib.sha256(key.encode()).hexdigest(), more) for place, key in enumerate(keys)))
    path.chmod(0o600)
    return keys
