"""The HTTP process: wiring only. It holds no broker connection and answers 201 with RabbitMQ down."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from service_chassis.database import make_engine, make_sessions
from service_chassis.http_server import listen, make_server
from service_chassis.ops import ops_app
from service_chassis.process import forget_imports
from service_chassis.prospect_link import LinkTokens
from service_chassis.settings import load
from service_chassis.telemetry import configure_logging

from intake_api import contract, problems, receipt_link
from intake_api.audit_middleware import Audit
from intake_api.body_limits import BodyLimit, BodyLimits
from intake_api.client_address import ForwardedClient
from intake_api.cross_origin import CrossOrigin, cross_origin
from intake_api.form import Form
from intake_api.form_settings import listed
from intake_api.keyed_hash import form_key
from intake_api.middleware import Trace
from intake_api.oidc import OidcIssuer
from intake_api.passwords import make_passwords
from intake_api.resume_store import ResumeStore, make_store
from intake_api.routes import (
    api_keys,
    attorneys,
    audit,
    auth,
    bulk,
    erasure,
    export,
    forms,
    health,
    lead_lists,
    leads,
    notes,
    operations,
    outreach,
    prospects,
    receipts,
    retention,
    submissions,
    users,
)
from intake_api.routes.context import Outside
from intake_api.scanner import make_scanner
from intake_api.settings import IntakeSettings, ResumeStorageSettings
from intake_api.signer import Signer
from intake_api.signing_keys import SigningKeys
from intake_api.tokens import make_tokens
from intake_api.uploads import Uploads, body_limit

log = structlog.get_logger(__name__)

ORDINARY_BODY_BYTES = 64 * 1024

# Included once per process, not per application: FastAPI builds each route anew for every inclusion.
_API = APIRouter()
for _module in (
    forms,
    lead_lists,
    bulk,
    leads,
    receipts,
    prospects,
    notes,
    outreach,
    submissions,
    attorneys,
    auth,
    users,
    api_keys,
    operations,
    audit,
    erasure,
    export,
    retention,
    health,
):
    _API.include_router(_module.router)
NO_DOCS: dict[str, Any] = {"openapi_url": None, "docs_url": None, "redoc_url": None}


def build(settings: IntakeSettings, store: ResumeStore) -> FastAPI:
    """Build the application over the given outside world; also what tests use."""
    engine = make_engine(settings, "intake-api")
    keys = SigningKeys(settings.auth_secret, settings.auth_keys_file, settings.secret_problem)
    health_engine = make_engine(settings, "intake-api health", pool_size=2)
    outside = Outside(
        settings=settings,
        sessions=make_sessions(engine),
        health_engine=health_engine,
        store=store,
        uploads=Uploads(settings.upload_limit, settings.phone_region),
        scanner=make_scanner(settings.scanner_url, settings.scanner_timeout),
        form=Form(settings),
        passwords=make_passwords(settings),
        tokens=make_tokens(settings, keys),
        signer=Signer(keys.secrets),
        receipt_signer=Signer(lambda: [form_key(settings)]),
        link_tokens=LinkTokens(settings.link_key),
        oidc=OidcIssuer(settings.oidc_issuer, settings.oidc_client_id) if settings.oidc_issuer else None,
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.openapi()  # now, not while a prospect waits: answers 405 and 422 ask the document
        try:
            yield
        finally:
            outside.uploads.close()
            store.close()
            await engine.dispose()
            await health_engine.dispose()

    app = FastAPI(
        title="Lead Management Service",
        version="1",
        summary="A law firm's front door: leads stored, assigned and answered.",
        lifespan=lifespan,
        **({} if settings.api_docs else NO_DOCS),
    )
    app.router.routes.extend(_API.routes)
    app.state.outside = outside
    problems.install(app)
    contract.install(app)
    submission = BodyLimit(body_limit(settings.upload_limit), "resume")
    ordinary = BodyLimit(ORDINARY_BODY_BYTES, "body")

    def limit_of(method: str, path: str) -> BodyLimit:
        is_submission = method == "POST" and path.rstrip("/") == "/api/v1/leads"
        is_replacement = method == "PUT" and path.startswith(f"{receipt_link.PREFIX}/")
        return submission if is_submission or is_replacement else ordinary

    app.add_middleware(BodyLimits, limit_of=limit_of, deadline=settings.upload_deadline)
    app.add_middleware(Audit, sessions=outside.sessions)
    app.add_middleware(CrossOrigin, **cross_origin(listed(settings.embed_origins)))
    app.add_middleware(Trace, is_production=settings.is_production)
    app.add_middleware(ForwardedClient, trusted=listed(settings.trusted_proxies))
    return app


async def serve(settings: IntakeSettings, app: FastAPI) -> None:
    """Serve the API and its ops port until SIGTERM or SIGINT. Raises OSError when a port is taken."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ready = health.readiness_checks(app.state.outside)
    forget_imports()
    with (
        contextlib.closing(listen(settings.http_host, settings.http_port, shared=True)) as public,
        contextlib.closing(listen(settings.ops_host, settings.api_ops_port)) as private,
    ):
        api = make_server(app, grace=settings.http_grace)
        ops = make_server(ops_app(ready=ready, alive={}), grace=1)
        log.info("listening", host=settings.http_host, port=settings.http_port)
        await asyncio.gather(api.run_until(stop, [public]), ops.run_until(stop, [private]))
    log.info("stopped", exit_code=0)


def main() -> None:
    """Command line: ``intake-api``."""
    argparse.ArgumentParser(
        prog="intake-api",
        description="Serve the lead API. Settings come from the environment: INTAKE_* and RESUMES_* (make settings).",
    ).parse_args()
    settings = load(IntakeSettings)
    storage = load(ResumeStorageSettings)
    configure_logging("intake-api", settings.log_level)
    try:
        asyncio.run(serve(settings, build(settings, make_store(storage))))
    except OSError as error:
        log.error("stopping", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
