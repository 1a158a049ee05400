// A small app that uses Vestibule as any app would: plain Node, the unmodified server SDK, and the variables that
// `vestibule dev` prints. It links to the hosted sign-in page and learns from the session token who came back.
//
//   set -a; . ./.vestibule/dev.env; set +a; PORT=3000 node tests/sdk/example-app/server.mjs
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { createClerkClient } from '@clerk/backend';

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.codePointAt(0)};`);

const page = (title, body) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><title>${title}</title></head><body><main><h1>${title}</h1>${body}</main></body></html>`;

/** Starts the app on `port` (0 = any free one) and returns its address and a way to stop it. */
export async function startExampleApp({ secretKey, publishableKey, apiUrl, proxyUrl = apiUrl, port = 0 }) {
  const clerk = createClerkClient({ secretKey, publishableKey, apiUrl });
  const app = { reasons: [] };

  /** Asks the SDK who sends this request. It may want the browser to go to Vestibule and come back (handshake). */
  async function authenticate(request, response) {
    const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)]);
    const web = new Request(new URL(request.url, app.url), { method: request.method, headers });
    // Only session tokens that were made for this app's own origin: not one of another app of the same instance.
    const state = await clerk.authenticateRequest(web, { proxyUrl, authorizedParties: [app.url] });
    app.reasons.push(state.reason ?? state.status);
    for (const name of new Set(state.headers.keys())) {
      response.setHeader(name, name === 'set-cookie' ? state.headers.getSetCookie() : state.headers.get(name));
    }
    if (!state.headers.has('location')) return state.toAuth();
    response.writeHead(307).end();
    return null;
  }

  async function home(request, response) {
    const auth = await authenticate(request, response);
    if (!auth) return;
    if (!auth.isAuthenticated) {
      const back = encodeURIComponent(`${app.url}/`);
      const links = `<p id="who">Nobody is signed in.</p>
        <p><a id="sign-in" href="${proxyUrl}/sign-in?redirect_url=${back}">Sign in</a></p>
        <p><a id="own" href="/own-sign-in">Sign in with Google, on our own page</a></p>`;
      return send(response, 200, page('Example app', links));
    }
    const user = await clerk.users.getUser(auth.userId);
    const email = user.primaryEmailAddress?.emailAddress ?? 'somebody without an address';
    const body = `<p id="who">Signed in as <strong>${escape(email)}</strong>.</p><p><code id="user">${auth.userId}</code></p>
      <p><button id="sign-out" type="button">Sign out</button></p><script src="/sign-out.js"></script>`;
    return send(response, 200, page('Example app', body));
  }

  async function whoami(request, response) {
    const auth = await authenticate(request, response);
    if (!auth) return;
    const { isAuthenticated, userId, sessionId } = auth;
    send(response, 200, JSON.stringify({ isAuthenticated, userId, sessionId }), 'application/json');
  }

  const scripts = {
    '/own-sign-in.js': ownSignIn,
    '/sso-callback.js': ssoCallback,
    '/sign-out.js': signOut,
  };

  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, app.url);
    const fails = (error) => send(response, 500, page('Failed', `<pre>${escape(String(error.stack))}</pre>`));
    if (pathname === '/') return home(request, response).catch(fails);
    if (pathname === '/whoami') return whoami(request, response).catch(fails);
    if (pathname === '/own-sign-in') return send(response, 200, page('Own sign-in', '<script src="/own-sign-in.js"></script>'));
    if (pathname === '/sso-callback') return send(response, 200, page('One moment', '<script src="/sso-callback.js"></script>'));
    const script = scripts[pathname];
    if (script) return send(response, 200, `(${script})(${JSON.stringify(proxyUrl)})`, 'text/javascript');
    return send(response, 404, page('Not found', ''));
  });
  await new Promise((listening) => server.listen(port, 'localhost', listening));
  app.url = `http://localhost:${server.address().port}`;
  app.stop = () => {
    server.closeAllConnections();
    return new Promise((closed) => server.close(closed));
  };
  return app;
}

function send(response, status, body, type = 'text/html; charset=utf-8') {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
}

// The three scripts below run in the browser. They make the calls that the browser SDK makes, by plain fetch.

/** Starts a sign-in with Google; both addresses are relative, as the published guides write them. */
function ownSignIn(fapi) {
  const form = { strategy: 'oauth_google', redirect_url: '/sso-callback', action_complete_redirect_url: '/' };
  fetch(`${fapi}/v1/client/sign_ins?__clerk_api_version=2026-05-12`, {
    method: 'POST',
    credentials: 'include',
    body: new URLSearchParams(form),
  })
    .then((answer) => answer.json())
    .then(({ response }) => location.assign(response.first_factor_verification.external_verification_redirect_url));
}

/** Back from the provider: a stranger is signed up by transfer; then the session is made the active one. */
async function ssoCallback(fapi) {
  const call = async (method, path, form) => {
    const body = form && new URLSearchParams(form);
    const answer = await fetch(`${fapi}${path}?__clerk_api_version=2026-05-12`, { method, credentials: 'include', body });
    return answer.json();
  };
  const { response: client } = await call('GET', '/v1/client');
  let session = client.last_active_session_id;
  if (client.sign_in?.first_factor_verification?.status === 'transferable') {
    const transferred = await call('POST', '/v1/client/sign_ups', { transfer: 'true' });
    session = transferred.response.created_session_id;
  }
  if (session) await call('POST', `/v1/client/sessions/${session}/touch`, { active_organization_id: '' });
  location.assign('/');
}

/** Signs out of all sessions of this browser, then shows what the app's server thinks. */
function signOut(fapi) {
  document.getElementById('sign-out').addEventListener('click', async () => {
    const address = `${fapi}/v1/client/sessions?_method=DELETE&__clerk_api_version=2026-05-12`;
    await fetch(address, { method: 'POST', credentials: 'include' });
    location.assign('/');
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { CLERK_SECRET_KEY, CLERK_PUBLISHABLE_KEY, CLERK_API_URL, CLERK_PROXY_URL, PORT = '3000' } = process.env;
  const keys = { secretKey: CLERK_SECRET_KEY, publishableKey: CLERK_PUBLISHABLE_KEY, apiUrl: CLERK_API_URL };
  const app = await startExampleApp({ ...keys, proxyUrl: CLERK_PROXY_URL ?? CLERK_API_URL, port: Number(PORT) });
  console.log(`The example app is at ${app.url}`);
}
