"""leadctl: the operator's commands, speaking the HTTP API and the workers' ops ports."""
