// Swagger UI on /docs. Beside the bundle, because the page's policy runs no script within it.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null, // else the document's address goes to a service of others
});
