"""A person's data for that person: GDPR article 15."""

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from intake_api.routes.context import Admin, World
from intake_api.routes.schemas import problems
from intake_api.use_cases.export_lead import chunks_of, export_lead

router = APIRouter(prefix="/api/v1/leads", tags=["privacy"])


@router.get(
    "/{lead_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}, **problems(401, 403, 404, 422, 503)},
)
async def get_export(world: World, admin: Admin, lead_id: UUID) -> StreamingResponse:
    """Download everything stored about a lead as a zip: lead.json and the resumes."""
    archive = await export_lead(world.sessions, world.store, admin, lead_id)
    headers = {"Content-Disposition": f'attachment; filename="lead-{lead_id}.zip"'}
    return StreamingResponse(chunks_of(archive), media_type="application/zip", headers=headers)
