"""Replicas behind a real proxy under load: a rolling restart, a kill, a frozen replica. No request may fail in a restart; with one further
try none may fail at all.

    fleet.py BINARY [--proxy haproxy,nginx,envoy] [--over http,grpc] [--only restart,kill,freeze]
"""
import argparse
import os
import sys
import tempfile
import time

import proxies
from load import Load, OverGrpc, OverHttp
from replicas import Replica, free_ports

REPLICAS = 3
FROZEN_S = 6


def restart(replicas):
    """One after the other, as an orchestrator replaces them."""
    for replica in replicas:
        replica.drain()
        replica.start()
        replica.wait_until_ready()
        # minReadySeconds: a proxy needs a moment to see it.
        time.sleep(1)


def kill(replicas):
    """kill -9 in the middle of requests; it comes back later."""
    for replica in replicas[:2]:
        time.sleep(1)
        replica.kill()
        time.sleep(2)
        replica.start()
        replica.wait_until_ready()
    time.sleep(3)


def freeze(replicas):
    """Its connections stay open and nobody answers them."""
    time.sleep(1)
    replicas[0].freeze()
    time.sleep(FROZEN_S)
    replicas[0].thaw()
    time.sleep(2)


FAULTS = {"restart": restart, "kill": kill, "freeze": freeze}
CLIENTS = {"http": OverHttp, "grpc": OverGrpc}


def run(options, kind, folder):
    """All faults through one proxy; gives how many were not as they have to be."""
    ports = free_ports(2 * REPLICAS)
    replicas = [Replica(options.binary, ports[i], ports[REPLICAS + i], folder) for i in range(REPLICAS)]
    proxy, bad = None, 0
    try:
        for replica in replicas:
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        proxy = proxies.Proxy(kind, replicas, folder)
        for over in options.over:
            for fault in options.only:
                began = time.monotonic()
                with Load(CLIENTS[over], proxy.grpc if over == "grpc" else proxy.http) as load:
                    FAULTS[fault](replicas)
                # A restart is announced, so nobody has to ask twice; neither does anybody get another picture's answer.
                failed = sum(load.failures.values()) + (sum(load.first_failures.values()) if fault == "restart" else 0)
                bad += failed > 0
                print(f"{'FAILED' if failed else 'ok':6} {kind:7} {over:4} {fault:7} {time.monotonic() - began:4.1f} s: {load.figures()}", flush=True)
    finally:
        if proxy:
            proxy.end()
        for replica in replicas:
            replica.end()
    return bad


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda known: lambda text: [word for word in text.split(",") if word in known or parser.error(f"{word}: one of {', '.join(known)}")]
    parser.add_argument("binary")
    parser.add_argument("--proxy", type=listed(proxies.KINDS), default=list(proxies.KINDS))
    parser.add_argument("--over", type=listed(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--only", type=listed(FAULTS), default=list(FAULTS))
    return parser.parse_args()


def main():
    options = arguments()
    options.binary = os.path.abspath(options.binary)
    if "grpc" in options.over:
        try:
            import grpc  # noqa: F401
        except ImportError:
            print("SKIPPED gRPC: the package grpcio is not installed")
            options.over.remove("grpc")
    bad = ran = 0
    for kind in options.proxy:
        if not proxies.binary(kind):
            print(f"SKIPPED {kind}: it is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            bad += run(options, kind, folder)
            ran += 1
    if bad:
        sys.exit(f"{bad} scenarios lost requests")
    print("no request was lost" if ran else "nothing was run")


if __name__ == "__main__":
    main()
