"""The API's documentation for browsers, made from `/openapi.json`."""

from fastapi.responses import HTMLResponse

from api.http.pages import page, policy
from api.http.routing import api_router

router = api_router(include_in_schema=False)

SWAGGER_UI, REDOC = "assets/swagger-ui-5.35.0", "assets/redoc-2.5.4"
REDOC_POLICY = policy(
    # An empty element, which its script fills, and its scroll bars.
    styles="'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='",
    workers="blob:",  # its search
)
VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'


@router.get("/docs")
async def get_docs() -> HTMLResponse:
    head = f'{VIEWPORT}<link rel="stylesheet" href="{SWAGGER_UI}/swagger-ui.css">'
    scripts = f'<script src="{SWAGGER_UI}/swagger-ui-bundle.js"></script><script src="assets/docs.js"></script>'
    return page("API", f'<div id="page"></div>{scripts}', head=head)


@router.get("/redoc")
async def get_redoc() -> HTMLResponse:
    scripts = f'<script src="{REDOC}/redoc.standalone.js"></script><script src="assets/redoc.js"></script>'
    return page("API", f'<div id="page"></div>{scripts}', head=VIEWPORT, allowed=REDOC_POLICY)
