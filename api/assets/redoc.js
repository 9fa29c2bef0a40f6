// Redoc on /redoc. Beside the bundle, because the page's policy runs no script within it.
Redoc.init("openapi.json", {}, document.getElementById("page"));
