"""Who may use which route. A route that is not here fails `test_role_matrix.py`: add it with whom it is for."""

ADMIN, INTAKE, ATTORNEY, OPERATOR, NOBODY = "admin", "intake", "attorney", "operator", "nobody"
READS_LEADS, WRITES_LEADS, READS_ATTORNEYS = "key leads:read", "key leads:write", "key attorneys:read"

PEOPLE = frozenset({ADMIN, INTAKE, ATTORNEY, OPERATOR})
KEYS = frozenset({READS_LEADS, WRITES_LEADS, READS_ATTORNEYS})
CALLERS = PEOPLE | KEYS | {NOBODY}

PUBLIC = CALLERS
LEAD_READERS = frozenset({ADMIN, INTAKE, ATTORNEY, READS_LEADS})
LEAD_WRITERS = frozenset({ADMIN, INTAKE, ATTORNEY, WRITES_LEADS})
DESK = frozenset({ADMIN, INTAKE})
ATTORNEY_READERS = PEOPLE | {READS_ATTORNEYS}
OPERATORS = frozenset({ADMIN, OPERATOR})
ADMINS = frozenset({ADMIN})

ALLOWED: dict[tuple[str, str], frozenset[str]] = {
    ("POST", "/api/v1/leads"): PUBLIC,
    ("GET", "/api/v1/leads"): LEAD_READERS,
    ("GET", "/api/v1/leads/export.csv"): DESK,
    ("POST", "/api/v1/leads/bulk"): LEAD_WRITERS,
    ("GET", "/api/v1/leads/{lead_id}"): LEAD_READERS,
    ("PATCH", "/api/v1/leads/{lead_id}"): LEAD_WRITERS,
    ("GET", "/api/v1/leads/{lead_id}/resume"): LEAD_READERS,
    ("GET", "/api/v1/leads/{lead_id}/timeline"): LEAD_READERS,
    ("POST", "/api/v1/leads/{lead_id}/merge"): DESK,
    ("POST", "/api/v1/leads/{lead_id}/submissions/{submission_id}/unlink"): DESK,
    ("GET", "/api/v1/forms/token"): PUBLIC,
    ("GET", "/api/v1/captures"): OPERATORS,
    ("GET", "/api/v1/leads/{lead_id}/assignment"): LEAD_READERS,
    ("GET", "/api/v1/leads/{lead_id}/notes"): LEAD_READERS,
    ("POST", "/api/v1/leads/{lead_id}/notes"): LEAD_WRITERS,
    ("POST", "/api/v1/leads/{lead_id}/outreach"): LEAD_WRITERS,
    ("GET", "/api/v1/receipts/{token}"): PUBLIC,
    ("DELETE", "/api/v1/receipts/{token}"): PUBLIC,
    ("PUT", "/api/v1/receipts/{token}/resume"): PUBLIC,
    ("DELETE", "/api/v1/receipts/{token}/resume"): PUBLIC,
    ("POST", "/api/v1/prospects/links"): PUBLIC,
    ("GET", "/api/v1/prospects/leads"): PUBLIC,
    ("POST", "/api/v1/prospects/withdrawals"): PUBLIC,
    ("POST", "/api/v1/prospects/erasures"): PUBLIC,
    ("DELETE", "/api/v1/leads/{lead_id}/prospect-links"): DESK,
    ("GET", "/api/v1/attorneys"): ATTORNEY_READERS,
    ("POST", "/api/v1/attorneys"): ADMINS,
    ("GET", "/api/v1/attorneys/{attorney_id}"): ATTORNEY_READERS,
    ("PATCH", "/api/v1/attorneys/{attorney_id}"): ADMINS,
    ("POST", "/api/v1/auth/token"): PUBLIC,
    ("POST", "/api/v1/auth/refresh"): PUBLIC,
    ("GET", "/api/v1/auth/oidc"): PUBLIC,
    ("POST", "/api/v1/auth/oidc"): PUBLIC,
    ("POST", "/api/v1/auth/logout"): PEOPLE,
    ("GET", "/api/v1/auth/me"): PEOPLE,
    ("POST", "/api/v1/auth/password"): PEOPLE,
    ("GET", "/api/v1/users"): ADMINS,
    ("POST", "/api/v1/users"): ADMINS,
    ("GET", "/api/v1/users/{account_id}"): ADMINS,
    ("PATCH", "/api/v1/users/{account_id}"): ADMINS,
    ("POST", "/api/v1/users/{account_id}/password"): ADMINS,
    ("GET", "/api/v1/api-keys"): ADMINS,
    ("POST", "/api/v1/api-keys"): ADMINS,
    ("DELETE", "/api/v1/api-keys/{key_id}"): ADMINS,
    ("GET", "/api/v1/dead-letters"): OPERATORS,
    ("GET", "/api/v1/dead-letters/{dead_letter_id}"): OPERATORS,
    ("POST", "/api/v1/dead-letters/replay"): OPERATORS,
    ("POST", "/api/v1/dead-letters/{dead_letter_id}/replay"): OPERATORS,
    ("POST", "/api/v1/dead-letters/{dead_letter_id}/discard"): OPERATORS,
    ("GET", "/api/v1/stuck-leads"): OPERATORS,
    ("GET", "/api/v1/stuck-leads/{lead_id}"): OPERATORS,
    ("POST", "/api/v1/stuck-leads/{lead_id}/repair"): OPERATORS,
    ("POST", "/api/v1/operations/rebuild-assignment"): OPERATORS,
    ("DELETE", "/api/v1/leads/{lead_id}"): ADMINS,
    ("PUT", "/api/v1/leads/{lead_id}/legal-hold"): ADMINS,
    ("DELETE", "/api/v1/leads/{lead_id}/legal-hold"): ADMINS,
    ("GET", "/api/v1/leads/{lead_id}/export"): ADMINS,
    ("GET", "/api/v1/erasures/{lead_id}"): ADMINS,
    ("GET", "/api/v1/retention"): ADMINS,
    ("POST", "/api/v1/retention/run"): ADMINS,
    ("GET", "/api/v1/audit"): ADMINS,
    ("GET", "/api/v1/audit/verification"): OPERATORS,
    ("GET", "/api/v1/healthcheck"): PUBLIC,
    ("GET", "/livez"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
}

NO_ACCOUNT_NEEDED = frozenset(route for route, callers in ALLOWED.items() if NOBODY in callers)

OF_ONE_LEAD = tuple(
    sorted(
        route
        for route, callers in ALLOWED.items()
        if route[1].startswith("/api/v1/leads/{lead_id}") and ATTORNEY in callers
    )
)
"""Routes that an attorney may use for their own leads, and that answer 404 for every other."""
