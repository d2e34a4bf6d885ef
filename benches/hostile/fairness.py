"""One client of ten sends half of the load: how long the nine others wait, beside how long they wait without it.

    nice -n 19 python3 benches/hostile/fairness.py target/release/resnetd [--seconds 4] [--rounds 4]

Nine clients keep two requests each under way, the tenth as many as all of them. Two servers run the same, one with `limits.fair_by`;
they are measured by turns, each without and with the tenth. Requests are tensors, so that the network is what takes time; it gets
one thread, so that the clients have the rest.
"""
import argparse
import asyncio
import time

from target import MODEL, Server

TENANTS = 9
EACH = 2
FLOOD = TENANTS * EACH
VALUES = 3 * 32 * 32
SETTINGS = {"RESNETD__RUNTIME__INSTANCES": "1", "RESNETD__RUNTIME__INTRA_THREADS": "1"}


def request(tenant):
    body = bytes(4 * VALUES)
    head = (
        f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nhost: bench\r\nx-tenant: {tenant}\r\n"
        f"inference-header-content-length: 0\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def client(address, tenant, until, seconds):
    """Asks again and again; how long each answer took is added to `seconds`."""
    reader, writer = await asyncio.open_connection(*address)
    sent = request(tenant)
    while time.monotonic() < until:
        started = time.monotonic()
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"tenant {tenant} got {head[:200]!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        seconds.append(time.monotonic() - started)
    writer.close()


async def window(address, with_flood, length):
    until = time.monotonic() + length
    nine, flood = [], []
    asking = [client(address, tenant, until, nine) for tenant in range(TENANTS) for _ in range(EACH)]
    if with_flood:
        asking += [client(address, "flood", until, flood) for _ in range(FLOOD)]
    await asyncio.gather(*asking)
    return nine, flood


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    servers = {"none": Server(asked.binary, SETTINGS)}
    servers["header:x-tenant"] = Server(asked.binary, {**SETTINGS, "RESNETD__LIMITS__FAIR_BY": "header:x-tenant"})
    took = {(fair_by, flood): ([], []) for fair_by in servers for flood in (False, True)}
    try:
        for _ in range(asked.rounds):
            for (fair_by, flood), (nine, tenth) in took.items():
                of_nine, of_tenth = asyncio.run(window(servers[fair_by].http, flood, asked.seconds))
                nine.extend(of_nine)
                tenth.extend(of_tenth)
    finally:
        for server in servers.values():
            server.stop()
    for fair_by in servers:
        (alone, _), (nine, tenth) = took[fair_by, False], took[fair_by, True]
        print(f"fair_by = {fair_by}")
        print(f"  the nine alone: p50 {quantile(alone, .5):.2f} ms, p99 {quantile(alone, .99):.2f} ms, {len(alone)} answers")
        print(f"  beside the tenth: p50 {quantile(nine, .5):.2f} ms, p99 {quantile(nine, .99):.2f} ms, {len(nine)} answers; its own {len(tenth)}")
        print(f"  p99 beside it / alone: {quantile(nine, .99) / quantile(alone, .99):.2f}")


if __name__ == "__main__":
    main()
