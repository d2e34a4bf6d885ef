"""Clients at one replica, without a proxy, that keep their connections and never ask twice: none of their requests may be lost when connections get old, and
when the server leaves. A client learns with an answer that its connection ends (HTTP/1.1), or by a frame (gRPC, HTTP/2)."""
import random
import threading
import time

from load import PAUSE_S

CLIENTS = 40
# Of a connection, a tenth more or less; and the longest pause of a client between two requests.
AGE_MS, PAUSE_MOST_S = 1000, 0.04
# When a server is told to leave, after its clients came.
LEAVES_AFTER_S = 2


class Patrons:
    """Clients that ask `requests` times together, or until nobody is there."""

    def __init__(self, client, address, port, requests=None):
        self.client, self.at, self.left = client, (address, port), requests
        self.lock = threading.Lock()
        self.answered, self.connections, self.lost, self.gone = 0, 0, {}, 0

    def _turn(self):
        with self.lock:
            if self.left is None:
                return True
            self.left -= 1
            return self.left >= 0

    def _run(self, number):
        chance, client = random.Random(number), self.client(*self.at)
        # gRPC's library keeps its connections to itself.
        counted = hasattr(client, "is_open")
        while self._turn():
            kept = not counted or client.is_open()
            failed = client.ask()
            with self.lock:
                self.connections += not kept
                if failed and not kept and failed == "ConnectionRefusedError":
                    # A new connection, to a server that has left: no request was on its way.
                    self.gone += 1
                    break
                if failed:
                    self.lost[failed] = self.lost.get(failed, 0) + 1
                else:
                    self.answered += 1
            if failed:
                client.close()
                time.sleep(PAUSE_S)
                client = self.client(*self.at)
                if self.left is None:
                    break
            time.sleep(chance.uniform(0, PAUSE_MOST_S))
        client.close()

    def __enter__(self):
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join()

    def figures(self):
        lost = f" ({', '.join(f'{n} {what}' for what, n in sorted(self.lost.items()))})" if self.lost else ""
        over = f" over {self.connections} connections" if self.connections else ""
        return f"{self.answered + sum(self.lost.values())} requests of {CLIENTS} clients{over}, lost {sum(self.lost.values())}{lost}"


def age(replica, client, requests):
    """Every connection becomes too old, again and again."""
    replica.start(RESNETD__SERVER__MAX_CONNECTION_AGE_MS=str(AGE_MS))
    replica.wait_until_ready()
    with Patrons(client, replica.address, replica.port, requests) as patrons:
        pass
    return patrons


def leave(replica, client, _):
    """The server leaves at once, while requests come; who finds nobody there has lost nothing."""
    replica.start(RESNETD__SERVER__DRAIN_DELAY_MS="0")
    replica.wait_until_ready()
    with Patrons(client, replica.address, replica.port) as patrons:
        time.sleep(LEAVES_AFTER_S)
        replica.drain()
    return patrons


FAULTS = {"age": age, "leave": leave}
