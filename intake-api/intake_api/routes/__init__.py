"""HTTP in: a route decodes, calls one use case, encodes."""
