"""Asks a service whether it is well, from a thread of its own, so that a hanging answer delays nothing else."""

import http.client
import threading

UNTIL_READY_S = 0.2
WHEN_READY_S = 2.0
TIMEOUT_S = 2.0
FAILURES_MAX = 3


class HealthCheck:
    """GET `path` until 200 makes it `ready`; from then on `failure` is set after three failures in a row."""

    def __init__(self, hosts: tuple[str, ...], port: int, path: str) -> None:
        self.ready = False
        self.failure = ""
        self._hosts, self._port, self._path = hosts, port, path
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="health", daemon=True).start()

    def close(self) -> None:
        self._over.set()

    def _watch(self) -> None:
        failures = 0
        while not self._over.wait(WHEN_READY_S if self.ready else UNTIL_READY_S):
            problem = self._ask()
            if not problem:
                self.ready, failures = True, 0
            elif self.ready:
                failures += 1
                if failures >= FAILURES_MAX:
                    self.failure = f"GET {self._path} failed {failures} times in a row: {problem}"
                    return

    def _ask(self) -> str:
        """What is wrong; empty where all is well. A service may listen on the node's address alone."""
        problem = ""
        for host in self._hosts:
            problem = _get(host, self._port, self._path)
            if not problem:
                return ""
        return problem


def _get(host: str, port: int, path: str) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return "" if status == http.client.OK else f"status {status}"
