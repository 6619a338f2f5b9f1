"""The composed stack (docker-compose.yml) as programs on this machine use it."""
