"use strict";

SwaggerUIBundle({ url: "../api-docs", dom_id: "#explorer", deepLinking: true, docExpansion: "none", validatorUrl: null });
