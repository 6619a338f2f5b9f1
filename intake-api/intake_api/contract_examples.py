"""Examples for the OpenAPI document, built from the schemas: a field's name, format or kind says what stands in it."""

from typing import Any

Schema = dict[str, Any]

LEAD_ID = "3f0c3a36-2f0c-4b7e-9a4c-0d6a2b9f2c11"
WHEN = "2026-03-02T09:30:00Z"

_BY_NAME: dict[str, Any] = {
    "first_name": "John",
    "last_name": "Doe",
    "email": "john.doe@example.com",
    "name": "Ada Lovelace",
    "phone": "+12125550100",
    "message": "I was dismissed without notice.",
    "practice_area": "employment",
    "language": "en",
    "source": "website",
    "referrer": "https://www.example.com/contact",
    "campaign": "spring",
    "consent_version": "2026-01",
    "consent_text": "I agree that the firm stores my data.",
    "resume": "JVBERi0xLjQKMSAwIG9iajw8L1R5cGUvQ2F0YWxvZz4+ZW5kb2JqCnRyYWlsZXI8PC9Sb290IDEgMCBSPj4KJSVFT0YK",
    "resume_filename": "john-doe.pdf",
    "resume_size": 48213,
    "resume_state": "accepted",
    "resume_url": f"/api/v1/leads/{LEAD_ID}/resume",
    "receipt_url": "/api/v1/receipts/WyJmMzE0IiwxXQ.x9Yb",
    "text": "Asked to be called after 5 pm.",
    "actor": "account:8f6d2a50-6a5c-4f39-8d43-7b8f1e1c2d90",
    "author": "account:8f6d2a50-6a5c-4f39-8d43-7b8f1e1c2d90",
    "decided_by": "assignment-worker",
    "password": "seven lamps by the canal",
    "current_password": "seven lamps by the canal",
    "new_password": "nine boats under the bridge",
    "queue": "mailer.outreach",
    "message_type": "lead.assigned.v1",
    "rule": "least-busy-1",
    "reference": "H4WA-YNRP",
    "lacks": "owner",
    "error_type": "ValueError",
    "error_place": "mailer_worker.handlers:24",
    "issuer": "https://login.example.com",
    "client_id": "leads",
    "nonce": "n-0S6_WzA2Mj",
    "token_type": "bearer",
    "access_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "origin": "192.0.2.0/24",
    "action": "get_lead",
    "type": "lead.registered",
    "status": "assigned",
    "role": "intake",
    "starts_at": "2026-07-01T00:00:00Z",
    "ends_at": "2026-07-15T00:00:00Z",
    "limit": 20,
    "offset": 0,
    "capacity": 30,
    "epoch": 1,
    "expires_in": 1800,
    "requests_per_minute": 60,
}
_BY_FORMAT = {"uuid": LEAD_ID, "date-time": WHEN, "email": "john.doe@example.com", "binary": "(the document)"}
_KINDS: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
_PLAIN = {"string": "text", "integer": 1, "number": 1.0, "boolean": False}


def example_of(schema: Schema, components: dict[str, Schema], name: str = "") -> Any:
    """An example that the schema takes. ``components`` are what it may refer to, ``name`` is the field it is of."""
    schema = _chosen(schema, components, name)
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return _BY_NAME[name] if _BY_NAME.get(name) in schema["enum"] else schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "array":
        return [] if name in _LEFT_EMPTY else [example_of(schema["items"], components, name)]
    if kind == "object":
        fields = schema.get("properties", {})
        return {field: example_of(property_, components, field) for field, property_ in fields.items()}
    return _plain_example(schema, kind, name)


def _chosen(schema: Schema, components: dict[str, Schema], name: str) -> Schema:
    """Follow references, and take the first of several that is not null."""
    while True:
        if "$ref" in schema:
            schema = components[schema["$ref"].rpartition("/")[2]]
        elif several := schema.get("anyOf") or schema.get("oneOf"):
            if name in _LEFT_NULL and {"type": "null"} in several:
                return {"examples": [None]}
            schema = next(one for one in several if one.get("type") != "null")
        elif "const" in schema:
            return {"examples": [schema["const"]]}
        else:
            return schema


def _plain_example(schema: Schema, kind: str, name: str) -> Any:
    named = _BY_NAME.get(name)
    if isinstance(named, _KINDS[kind]):
        return named
    return _BY_FORMAT.get(schema.get("format", ""), schema.get("default") or _PLAIN[kind])


_LEFT_NULL = frozenset({"reached_out_by", "attorney_id", "merged_into", "waiting_reason", "waiting_since"})
_LEFT_EMPTY = frozenset({"quarantine_reasons", "resume_flags", "absences", "reasons", "errors", "waiting_for"})
