"""Drives the page in Chromium: every test is a function whose name says what holds, with a page of its own and a server that all share."""
import inspect
import sys
import time
import traceback

import asking
import bad
import keyed
import looking
import many
from support import Browser, Server, models


def main(wanted):
    tests = [
        test
        for module in (asking, many, looking, keyed, bad)
        for test in vars(module).values()
        if inspect.isfunction(test) and test.__module__ == module.__name__ and not test.__name__.startswith("_")
    ]
    tests = [test for test in tests if not wanted or any(part in test.__name__ for part in wanted)]
    started, failed = time.monotonic(), []
    with models() as folder, Server(folder) as server, Browser(server) as browser:
        for test in tests:
            before = time.monotonic()
            name = test.__name__.replace("_", " ")
            try:
                test(browser)
            except Exception:
                traceback.print_exc()
                failed.append(name)
            print(f"{'FAILED ' if name in failed else ''}{name} ({time.monotonic() - before:.1f} s)", flush=True)
    print(f"{len(tests)} tests of the page in {time.monotonic() - started:.0f} s, {len(failed)} failed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
