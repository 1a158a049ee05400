// Every kind of token of ours at every call of the official server SDKs that takes one, against the table in
// tests/fixtures/token_kinds/sdk.txt: @clerk/backend of two generations, and Python's clerk-backend-api. What the server
// itself takes is in tests/it/token_kinds.rs.
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as third from '@clerk/backend';
import * as second from '@clerk/backend-2';
import * as oidc from 'openid-client';
import { authorization, discover } from './support/oauth.mjs';
import { Person } from './support/person.mjs';
import { python } from './support/python.mjs';
import { root, Vestibule } from './support/vestibule.mjs';

const APP = 'http://localhost:3000';
const CALLBACK = `${APP}/oauth_callback`;
const SDKS = { js3: third, js2: second };

/** Groups of places, and by kind the groups that take it. */
function table() {
  const text = readFileSync(join(root, 'tests/fixtures/token_kinds/sdk.txt'), 'utf8');
  const lines = text.split('\n').filter((line) => line && !line.startsWith('#'));
  const rows = lines.map((line) => line.split(':').map((part) => part.trim().split(/\s+/).filter(Boolean)));
  const named = Object.fromEntries(rows.map(([[name], rest]) => [name, rest]));
  const { session, handshake, machine, python: snake, ...kinds } = named;
  return { groups: { session, handshake, machine, python: snake }, kinds };
}

describe('the server SDKs', () => {
  const { groups, kinds } = table();
  let vestibule;
  let tokens;
  let pem;

  before(async () => {
    vestibule = await Vestibule.start();
    tokens = await everyKind();
    const { body } = await vestibule.backend('GET', '/v1/jwks');
    assert.equal(body.keys.length, 1, 'the key that an app pins is the one that signs session tokens');
    pem = createPublicKey({ key: body.keys[0], format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  });
  after(() => vestibule.stop());

  /** Somebody's tokens: of the browser, of an app's pages and of an OAuth client. */
  async function everyKind() {
    const person = new Person();
    await person.signIn(`${vestibule.url}/sign-in`, { provider: 'google', as: 'mia@example.com' });
    const { body: client } = await person.api('GET', `${vestibule.url}/v1/client`, { origin: APP });
    const session = client.response.last_active_session_id;
    const mint = `${vestibule.url}/v1/client/sessions/${session}/tokens`;
    const minted = await person.api('POST', mint, { origin: APP });
    const back = new URL(`${vestibule.url}/v1/client/handshake`);
    back.searchParams.set('redirect_url', `${APP}/`);
    const sent = await person.get(back.href);
    const cookies = person.cookies(vestibule.url);
    const handshake = cookies.__clerk_handshake ?? new URL(sent.headers.get('location')).searchParams.get('__clerk_handshake');

    const asked = { name: 'Tokens', callback_url: CALLBACK, scopes: 'profile email', consent_screen_enabled: false };
    const { body: application } = await vestibule.backend('POST', '/v1/oauth_applications', asked);
    const config = await discover(vestibule.url, application.client_id, application.client_secret);
    const authorize = async () => {
      const request = await authorization(config, { redirect_uri: CALLBACK, scope: 'openid email profile' });
      const { left } = await person.open(request.url, (next) => next.startsWith(CALLBACK));
      return { ...request, callback: new URL(left) };
    };
    const { callback, checks } = await authorize();
    const granted = await oidc.authorizationCodeGrant(config, callback, checks);
    return {
      session_token: minted.body.jwt,
      handshake_token: handshake,
      client_token: cookies.__client,
      id_token: granted.id_token,
      access_token: granted.access_token,
      refresh_token: granted.refresh_token,
      authorization_code: (await authorize()).callback.searchParams.get('code'),
      secret_key: vestibule.secretKey,
      publishable_key: vestibule.publishableKey,
      client_secret: application.client_secret,
    };
  }

  /** What an app's server does with a request, or with a token. */
  function places(sdk) {
    const keys = { secretKey: vestibule.secretKey, publishableKey: vestibule.publishableKey, apiUrl: vestibule.url };
    const clerk = sdk.createClerkClient(keys);
    const request = async (headers, options) => {
      const state = await clerk.authenticateRequest(new Request(`${APP}/`, { headers }), {
        proxyUrl: vestibule.url,
        ...options,
      });
      return state.isAuthenticated ? 'taken' : `${state.status} ${state.reason}`;
    };
    const bearer = (token, options) => request({ authorization: `Bearer ${token}` }, options);
    // As a browser that has been at the app: a session of a minute ago.
    const uat = Math.floor(Date.now() / 1000) - 60;
    const cookie = (token, options) => request({ cookie: `__client_uat=${uat}; __session=${token}` }, options);
    const navigation = { 'sec-fetch-dest': 'document', accept: 'text/html' };
    const verify = async (token, options) => {
      try {
        // What is exported for apps gives the claims, or throws.
        const claims = await sdk.verifyToken(token, { apiUrl: vestibule.url, ...options });
        return claims.sub ? 'taken' : 'no subject';
      } catch (error) {
        return error.reason ?? String(error);
      }
    };
    const { secretKey } = vestibule;
    const authorizedParties = [APP];
    return {
      header: (token) => bearer(token),
      cookie: (token) => cookie(token),
      parties: (token) => bearer(token, { authorizedParties }),
      parties_cookie: (token) => cookie(token, { authorizedParties }),
      handshake: (token) => request({ ...navigation, cookie: `__clerk_handshake=${token}` }),
      accepts_session: (token) => bearer(token, { acceptsToken: 'session_token' }),
      accepts_any: (token) => bearer(token, { acceptsToken: 'any' }),
      accepts_oauth: (token) => bearer(token, { acceptsToken: 'oauth_token' }),
      accepts_m2m: (token) => bearer(token, { acceptsToken: 'm2m_token' }),
      accepts_api_key: (token) => bearer(token, { acceptsToken: 'api_key' }),
      verify: (token) => verify(token, { secretKey }),
      verify_parties: (token) => verify(token, { secretKey, authorizedParties }),
      verify_pem: (token) => verify(token, { jwtKey: pem }),
    };
  }

  /** Compares with the table; the whole list of differences is the message. */
  function compare(found, groupOf) {
    const differences = [];
    for (const [place, outcomes] of Object.entries(found)) {
      for (const [kind, takers] of Object.entries(kinds)) {
        const expected = takers.includes(groupOf(place));
        if ((outcomes[kind] === 'taken') !== expected) {
          differences.push(`${kind} at ${place}: ${outcomes[kind]}, must be ${expected ? 'taken' : 'refused'}`);
        }
      }
    }
    assert.deepEqual(differences, []);
  }

  for (const [name, sdk] of Object.entries(SDKS)) {
    test(`of ${name === 'js3' ? 'today' : 'the generation before'} take what the table says and nothing else`, async () => {
      const calls = places(sdk);
      assert.deepEqual(Object.keys(calls).sort(), [...groups.session, ...groups.handshake, ...groups.machine].sort());
      const found = {};
      assert.deepEqual(Object.keys(tokens).sort(), Object.keys(kinds).sort());
      for (const [place, call] of Object.entries(calls)) {
        found[place] = {};
        for (const kind of Object.keys(kinds)) found[place][kind] = await call(tokens[kind]);
      }
      compare(found, (place) => ['session', 'handshake', 'machine'].find((group) => groups[group].includes(place)));
    });
  }

  test('for Python take what the table says and nothing else', async () => {
    const { url, secretKey } = vestibule;
    const found = await python('token_kinds.py', { url, secretKey, pem, party: APP, tokens });
    assert.deepEqual(Object.keys(found).sort(), groups.python.map((place) => `python_${place}`).sort());
    compare(found, () => 'python');
  });
});
