"""Replicas behind a real proxy under load: rolling restarts, kills, frozen, slow and full replicas, and with --namespaces such whose network is cut or loses
packets. No request may fail in a restart; with one further try none may fail at all. HTTP and gRPC are asked at the same time. First one replica alone,
whose connections get old (age) and which leaves (leave) under clients that never ask twice.

    fleet.py BINARY [--proxy haproxy,nginx,envoy,envoy-orca] [--over http,grpc] [--only age,leave,restart,kill,freeze,slow,full,cut,lossy] [--replicas 3] [--restarts 1] [--namespaces]
"""
import argparse
import contextlib
import os
import sys
import tempfile
import time

import ages
import networks
import proxies
from load import Hog, Load, OverGrpc, OverGrpcAsItComes, OverHttp
from replicas import Replica, free_ports

REPLICAS = 3
FROZEN_S = 6
# Of a core, and how long: a tenth of what its part of the load takes.
SLOW_SHARE, SLOW_S = 0.01, 12
# By what replicas say of their load, the slow one has to be given less than this part of what each of the others is; in turn it would be all of it.
SLOW_IS_GIVEN = 0.5
# So many images may be in work in the replica that is full, and somebody beside the proxy keeps them there.
FULL_CAPACITY, FULL_S = 8, 8
CUT_S, LOSSY_S = 12, 12


def restart(replicas, options):
    """One after the other, as an orchestrator replaces them; so many times."""
    for _ in range(options.restarts):
        for replica in replicas:
            replica.drain()
            replica.start()
            replica.wait_until_ready()
            # As minReadySeconds has it.
            time.sleep(options.seen_s)


def kill(replicas, options):
    """kill -9 in the middle of requests; it comes back later."""
    for replica in replicas[:2]:
        time.sleep(1)
        replica.kill()
        time.sleep(2)
        replica.start()
        replica.wait_until_ready()
        time.sleep(options.seen_s)
    time.sleep(1)


def freeze(replicas, _):
    """Its connections stay open and nobody answers them."""
    time.sleep(1)
    replicas[0].freeze()
    time.sleep(FROZEN_S)
    replicas[0].thaw()
    time.sleep(2)


def slow(replicas, options):
    """It answers everything, its probes too, but late."""
    time.sleep(options.known_s)
    before = [replica.answered() for replica in replicas]
    replicas[0].slow(SLOW_SHARE)
    time.sleep(SLOW_S)
    replicas[0].release()
    # What it was given is answered now too.
    time.sleep(1)
    first, *others = [replica.answered() - was for replica, was in zip(replicas, before)]
    options.slow_is_given = first * len(others) / max(1, sum(others))
    print(f"       requests answered by each meanwhile: {', '.join(f'{number:.0f}' for number in (first, *others))}", flush=True)


def counts(replicas):
    """What a balancer made of them."""
    print(f"       requests answered by each since its start: {', '.join(f'{replica.answered():.0f}' for replica in replicas)}", flush=True)


def full(replicas, options):
    """Small limits, and somebody who does not come through the proxy keeps it at them: it refuses at once."""
    first = replicas[0]
    first.drain()
    first.start(RESNETD__BATCHING__QUEUE_CAPACITY=str(FULL_CAPACITY))
    first.wait_until_ready()
    time.sleep(options.seen_s)
    with Hog(first.address, first.port, FULL_CAPACITY):
        time.sleep(FULL_S)
    counts(replicas)
    first.drain()
    first.start()
    first.wait_until_ready()
    time.sleep(options.seen_s)


def cut(replicas, options):
    """Its network is away: nobody is refused there, and nothing comes back. Gives the moment."""
    time.sleep(1)
    replicas[0].place.cut()
    moment = time.monotonic()
    time.sleep(CUT_S)
    replicas[0].place.join()
    time.sleep(options.seen_s + 2)
    counts(replicas)
    return moment


def lossy(replicas, options):
    """Its network loses packets. Gives the moment."""
    time.sleep(1)
    how = replicas[0].place.lose()
    moment = time.monotonic()
    time.sleep(LOSSY_S)
    replicas[0].place.mend()
    print(f"       {how}", flush=True)
    time.sleep(options.seen_s + 2)
    counts(replicas)
    return moment


FAULTS = {"restart": restart, "kill": kill, "freeze": freeze, "slow": slow, "full": full, "cut": cut, "lossy": lossy}
# Which a network of its own is needed for.
OF_NETWORKS = {"cut", "lossy"}
CLIENTS = {"http": OverHttp, "grpc": OverGrpc}
# A restart is announced, and a slow replica answers: nobody has to ask twice.
FIRST_TRY = {"restart", "slow"}
# nginx does not read gRPC's status, which stands in the trailers: what a replica answers that still loads (UNAVAILABLE) goes to the client.
READS_NO_STATUS = ("nginx", "grpc")
# A refusal with its time is an answer where the proxy cannot ask elsewhere for it: HAProxy 2.6 knows no `retry-on 429`, and nginx would take each
# replica that says it for dead, in a full fleet all of them.
REFUSALS = {"haproxy": {"429", "RESOURCE_EXHAUSTED"}, "nginx": {"429", "RESOURCE_EXHAUSTED"}, "envoy": set(), proxies.WEIGHTED: set()}


def alone(options, folder):
    """What needs no proxy; gives how many were not as they have to be."""
    bad = 0
    for fault in filter(ages.FAULTS.get, options.only):
        for over in options.over:
            if fault == "leave" and over == "grpc":
                # Whether its library asked a connection that it kept or a new one is not to be seen.
                continue
            replica = Replica(options.binary, *free_ports(2), folder, options.places[1])
            began = time.monotonic()
            try:
                patrons = ages.FAULTS[fault](replica, {**CLIENTS, "grpc": OverGrpcAsItComes}[over], options.requests)
            finally:
                replica.end()
            bad += bool(patrons.lost)
            print(f"{'FAILED' if patrons.lost else 'ok':6} {'alone':10} {over:4} {fault:7} {time.monotonic() - began:5.1f} s: {patrons.figures()}", flush=True)
    return bad


def run(options, kind, folder):
    """All faults through one proxy; gives how many were not as they have to be."""
    ports = free_ports(2 * options.replicas)
    where, *places = options.places
    replicas = [Replica(options.binary, ports[i], ports[options.replicas + i], folder, places[i]) for i in range(options.replicas)]
    proxy, bad = None, 0
    try:
        for replica in replicas:
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        proxy = proxies.Proxy(kind, replicas, folder, where)
        options.seen_s, options.known_s = proxies.SEEN_S[kind], proxies.KNOWN_S[kind]
        for fault in filter(FAULTS.get, options.only):
            began = time.monotonic()
            loads = {over: Load(CLIENTS[over], proxy.address, proxy.grpc if over == "grpc" else proxy.http) for over in options.over}
            with contextlib.ExitStack() as running:
                for load in loads.values():
                    running.enter_context(load)
                moment = FAULTS[fault](replicas, options)
            for over, load in loads.items():
                failed = load.failed(fault in FIRST_TRY and (kind, over) != READS_NO_STATUS, REFUSALS[kind] if fault == "full" else set())
                bad += failed > 0
                print(f"{'FAILED' if failed else 'ok':6} {kind:10} {over:4} {fault:7} {time.monotonic() - began:5.1f} s: {load.figures()}{load.hit_since(moment) if moment else ''}", flush=True)
            if fault == "slow" and kind == proxies.WEIGHTED and options.slow_is_given > SLOW_IS_GIVEN:
                bad += 1
                print(f"FAILED {kind:10} {fault}: it was given {options.slow_is_given:.2f} of what each of the others was, which is not by their load", flush=True)
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
    parser.add_argument("--proxy", type=listed(proxies.FILES), default=list(proxies.FILES))
    parser.add_argument("--over", type=listed(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--only", type=listed([*ages.FAULTS, *FAULTS]), default=[*ages.FAULTS, *FAULTS])
    parser.add_argument("--replicas", type=int, choices=(2, 3, 4), default=REPLICAS)
    parser.add_argument("--requests", type=int, default=10_000, help="how many of them while connections get old")
    parser.add_argument("--restarts", type=int, default=1, help="how many rolling restarts, one after the other")
    parser.add_argument("--namespaces", action="store_true", help="the proxy and every replica in a network namespace of its own (root)")
    return parser.parse_args()


def places(options):
    """Where the proxy and the replicas stand."""
    if options.namespaces:
        try:
            return networks.rooms(1 + options.replicas)
        except networks.Unavailable as reason:
            print(f"SKIPPED network namespaces, loopback is used: {reason}")
    left_out = [fault for fault in options.only if fault in OF_NETWORKS]
    if left_out:
        print(f"SKIPPED {', '.join(left_out)}: only with --namespaces, where those can be had")
        options.only = [fault for fault in options.only if fault not in OF_NETWORKS]
    return [networks.Place()] * (1 + options.replicas)


def main():
    options = arguments()
    options.binary = os.path.abspath(options.binary)
    # Before anything has threads.
    options.places = places(options)
    if "grpc" in options.over:
        try:
            import grpc  # noqa: F401
        except ImportError:
            print("SKIPPED gRPC: the package grpcio is not installed")
            options.over.remove("grpc")
    with tempfile.TemporaryDirectory() as folder:
        bad = alone(options, folder)
    ran = any(fault in ages.FAULTS for fault in options.only)
    for kind in options.proxy if any(fault in FAULTS for fault in options.only) else []:
        if not proxies.binary(kind):
            print(f"SKIPPED {kind}: it is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            bad += run(options, kind, folder)
            ran += 1
    if bad:
        sys.exit(f"{bad} scenarios were not as they have to be")
    print("no request was lost" if ran else "nothing was run")


if __name__ == "__main__":
    main()
