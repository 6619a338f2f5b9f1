"""A relay in a process of its own, to be killed."""

import asyncio
import sys

from service_chassis.relay import Relay
from service_chassis.settings import RelayGroup

if __name__ == "__main__":
    asyncio.run(Relay(sys.argv[1], sys.argv[2], RelayGroup(), "victim").run(asyncio.Event()))
