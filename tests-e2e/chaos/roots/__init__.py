"""Composition roots of the tests' own: the product's parts, put together with handlers that misbehave.

They run as processes; nothing else here imports them, nor any code of a service.
"""

DIES = "x-chaos-dies"
HANGS = "x-chaos-hangs"
"""Headers of a message whose handler is to end the process, or never to end."""
SLOWNESS = "CHAOS_SLOWNESS"
"""The variable that says how many seconds each message takes more than it needs."""
PROCESS = "CHAOS_PROCESS"
"""The variable that names the module of the product's own root to run."""
CLOCK_SKEW = "CHAOS_CLOCK_SKEW"
"""The variable that says how many seconds the process's clock is fast; slow when negative."""
