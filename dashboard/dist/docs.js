// The API page: Swagger UI on /openapi.json, with the key that the dashboard keeps for this tab.

const KEY = "babylm-key";
const form = document.getElementById("key");

// Adds the key to requests to this service only.
function withKey(request) {
  const key = sessionStorage.getItem(KEY);
  const isOwn = new URL(request.url, location.href).origin === location.origin;
  if (key && isOwn) request.headers.Authorization ??= `Bearer ${key}`;
  return request;
}

async function show() {
  const request = withKey({ url: "/openapi.json", headers: {} });
  const response = await fetch(request.url, { headers: request.headers });
  form.hidden = response.status !== 401;
  if (!response.ok) {
    const hasKey = sessionStorage.getItem(KEY) !== null;
    form.querySelector("[role=alert]").textContent =
      response.status !== 401
        ? `The service answered ${response.status}; reload the page to try again.`
        : hasKey
          ? "The service does not accept this key."
          : "";
    return;
  }
  window.SwaggerUIBundle({
    spec: await response.json(),
    dom_id: "#api",
    deepLinking: true,
    docExpansion: "list",
    filter: true,
    requestInterceptor: withKey,
    validatorUrl: null,
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, new FormData(form).get("key").trim());
  show();
});
show();
