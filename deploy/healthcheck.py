"""The images' health check, standard library only: exit 0 when the process in this container is ready.

A container runs one process and every process has an ops port, so exactly one of the four ports answers. A port is
the one that the process's own setting names, else that setting's default (a test compares them with the settings).
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

OPS_PORTS = {
    "INTAKE_API_OPS_PORT": 8090,
    "INTAKE_WORKER_OPS_PORT": 8040,
    "ASSIGNMENT_OPS_PORT": 8050,
    "MAILER_OPS_PORT": 8070,
}
_TIMEOUT_S = 4.0


def main() -> int:
    """Print what `/readyz` says; 0 when it says 200, else 1."""
    for setting, default in OPS_PORTS.items():
        connection = HTTPConnection("127.0.0.1", int(os.environ.get(setting) or default), timeout=_TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            print(response.read().decode(errors="replace"))  # noqa: T201 - `docker inspect` shows it
        except ConnectionRefusedError:
            continue
        except (OSError, HTTPException) as error:
            print(f"{setting}: {type(error).__name__}")  # noqa: T201 - same
            return 1
        else:
            return 0 if response.status == 200 else 1
        finally:
            connection.close()
    print("no ops port answers")  # noqa: T201 - same
    return 1


if __name__ == "__main__":
    sys.exit(main())
