"""Which rows are a lead's: found by following foreign keys, so that a table added later is not forgotten.

Erasure deletes them, the export shows them. What names a lead without a foreign key is listed by hand in
`use_cases.erase_lead`; a test holds every table against both lists.
"""

from sqlalchemy import ColumnElement, FromClause, MetaData, Table, or_, select

from intake_api.declarative import Base
from intake_api.models import Lead

Rows = tuple[Table, ColumnElement[bool]]


def rows_of_lead(lead_id: object) -> list[Rows]:
    """The tables with rows of a lead and which rows those are; a row comes before what it refers to, the lead last."""
    return _following(Base.metadata, lead_id)


def _following(metadata: MetaData, lead_id: object) -> list[Rows]:
    leads: FromClause = Lead.__table__
    found: dict[FromClause, ColumnElement[bool]] = {leads: leads.c.id == lead_id}
    for table in metadata.sorted_tables:
        if table is leads:
            continue
        links = [
            key.parent.in_(select(key.column).where(found[key.column.table]))
            for key in table.foreign_keys
            if key.column.table in found
        ]
        if links:
            found[table] = or_(*links)
    return [(table, condition) for table, condition in reversed(found.items()) if isinstance(table, Table)]
