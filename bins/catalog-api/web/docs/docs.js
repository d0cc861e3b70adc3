// Swagger UI over this server's own description. A token given to the page at / is used here too.
"use strict";

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  // No validator elsewhere is asked.
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  onComplete() {
    const token = sessionStorage.getItem("token");
    if (token) ui.preauthorizeApiKey("bearer", token);
  },
});
