// A provider that we did not write: `oidc-provider`, added as a custom provider by its issuer, signs people in through
// the generic OpenID Connect adapter.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { Provider } from 'oidc-provider';
import { Visit, launch } from './support/chromium.mjs';
import { formWith } from './support/html.mjs';
import { Person } from './support/person.mjs';
import { Vestibule } from './support/vestibule.mjs';

const CLIENT = { client_id: 'vestibule', client_secret: 'a secret with + and % in it' };

/** The same provider once more, described by hand. */
const BY_HAND = { client_id: 'by-hand', client_secret: 'another secret' };

/** Starts the provider. Its own development pages sign in whoever types a name; it demands PKCE of the first client. */
async function startAcme(redirectUri) {
  const server = createServer();
  await new Promise((listening) => server.listen(0, 'localhost', listening));
  const issuer = `http://localhost:${server.address().port}`;
  const requests = [];
  const claims = (id) => ({
    sub: id,
    email: `${id}@acme.test`,
    email_verified: true,
    given_name: id[0].toUpperCase() + id.slice(1),
    family_name: 'Acme',
  });
  const provider = new Provider(issuer, {
    clients: [
      { ...CLIENT, redirect_uris: [redirectUri] },
      { ...BY_HAND, redirect_uris: [redirectUri], token_endpoint_auth_method: 'client_secret_post' },
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['given_name', 'family_name'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => claims(id) }),
    pkce: { required: (_, client) => client.clientId === CLIENT.client_id },
    cookies: { keys: ['only for this run'] },
  });
  provider.on('server_error', (_, error) => console.error(error));
  server.on('request', (request, response) => {
    requests.push(`${request.method} ${new URL(request.url, issuer).pathname}`);
    provider.callback()(request, response);
  });
  const stop = () => new Promise((closed) => (server.closeAllConnections(), server.close(closed)));
  return { issuer, requests, stop };
}

describe('a provider from elsewhere', () => {
  let vestibule, acme;
  before(async () => {
    vestibule = await Vestibule.start();
    acme = await startAcme(`${vestibule.url}/v1/oauth_callback`);
    const args = ['--issuer', acme.issuer, '--client-id', CLIENT.client_id, '--client-secret-file', '-'];
    const added = await vestibule.run(['provider', 'add', 'custom_acme', ...args], { input: `${CLIENT.client_secret}\n` });
    assert.equal(added.code, 0, added.stderr);
    assert.ok(!added.stdout.includes(CLIENT.client_secret));
  });
  after(async () => {
    await vestibule?.stop();
    await acme?.stop();
  });

  /** Signs in on the hosted page with Acme, types `name` on its login page and agrees to its questions. */
  async function signIn(person, name, button = 'provider-custom_acme') {
    const start = await person.open(`${vestibule.url}/sign-in`);
    const sent = await person.press(start, ({ id }) => id === button);
    let at = await person.follow(sent);
    for (let pages = 0; at.url.startsWith(acme.issuer); pages += 1) {
      assert.ok(pages < 4, `stuck at ${at.url}: ${at.text}`);
      const asks = formWith(at.text, () => true);
      const form = { ...Object.fromEntries(asks.fields), ...(asks.fields.some(([field]) => field === 'login') && { login: name, password: 'x' }) };
      at = await person.follow(await person.send('POST', new URL(asks.action, at.url).href, { form }));
    }
    return at;
  }

  test('signs people in through discovery, PKCE, id_token and userinfo', async () => {
    const person = new Person();
    const back = await signIn(person, 'zoe');
    assert.equal(back.page, 'user.profile', `${back.url} ${back.text}`);
    assert.match(back.text, /zoe@acme\.test/);
    assert.ok(acme.requests.includes('GET /.well-known/openid-configuration'));
    assert.ok(acme.requests.includes('POST /token'));
    assert.ok(acme.requests.includes('GET /jwks'));

    const { body } = await vestibule.backend('GET', '/v1/users?email_address=zoe@acme.test');
    assert.equal(body.length, 1);
    const [account] = body[0].external_accounts;
    assert.equal(account.provider, 'oauth_custom_acme');
    assert.equal(account.provider_user_id, 'zoe');
    assert.equal(account.email_address, 'zoe@acme.test');
    assert.deepEqual([account.first_name, account.last_name], ['Zoe', 'Acme']);
    // A custom provider's word about an address is not believed unless the operator says so.
    assert.notEqual(body[0].email_addresses[0]?.verification?.status, 'verified');

    const tokens = await vestibule.backend('GET', `/v1/users/${body[0].id}/oauth_access_tokens/custom_acme`);
    assert.equal(tokens.status, 200);
    const info = await fetch(`${acme.issuer}/me`, { headers: { authorization: `Bearer ${tokens.body[0].token}` } });
    assert.equal((await info.json()).sub, 'zoe', 'the stored access token works at the provider');
  });

  test('works without discovery and PKCE, by endpoints, mapping and a secret in the body', async () => {
    const at = (path) => `${acme.issuer}${path}`;
    // It names itself at the callback (RFC 9207), so that the issuer must be known even without id_tokens.
    const args = ['--issuer', acme.issuer, '--authorization-url', at('/auth'), '--token-url', at('/token'), '--userinfo-url', at('/me')];
    args.push('--client-id', BY_HAND.client_id, '--client-secret-file', '-', '--token-auth', 'client_secret_post');
    args.push('--label', 'By hand', '--pkce', 'false', '--trust-email-verified', 'true');
    args.push('--map', 'first_name=family_name', '--map', 'last_name=nickname', '--map-default', 'last_name=Unknown');
    const added = await vestibule.run(['provider', 'add', 'custom_hand', ...args], { input: BY_HAND.client_secret });
    assert.equal(added.code, 0, added.stderr);
    const back = await signIn(new Person(), 'wim', 'provider-custom_hand');
    assert.equal(back.page, 'user.profile', `${back.url} ${back.text}`);
    const { body } = await vestibule.backend('GET', '/v1/users?email_address=wim@acme.test');
    const [account] = body[0].external_accounts;
    assert.deepEqual([account.provider, account.provider_user_id], ['oauth_custom_hand', 'wim']);
    assert.deepEqual([account.first_name, account.last_name], ['Acme', 'Unknown']);
    assert.equal(body[0].email_addresses[0].verification.status, 'verified', 'the operator trusts it');
  });

  test('knows them again from another browser', async () => {
    const ids = [];
    for (const person of [new Person(), new Person()]) {
      const back = await signIn(person, 'yan');
      assert.equal(back.page, 'user.profile');
      const { body } = await vestibule.backend('GET', '/v1/users?email_address=yan@acme.test');
      ids.push(...body.map(({ id }) => id));
    }
    assert.equal(new Set(ids).size, 1);
    assert.equal(ids.length, 2);
  });

  test('hears when somebody says no', async () => {
    const person = new Person();
    const start = await person.open(`${vestibule.url}/sign-in`);
    const sent = await person.press(start, ({ id }) => id === 'provider-custom_acme');
    const login = await person.follow(sent);
    const [, abort] = /href="([^"]*\/abort)"/.exec(login.text);
    const back = await person.open(new URL(abort, login.url).href);
    assert.deepEqual([back.page, back.state], ['provider.error', 'cancelled']);
  });

  test('is reached by a browser, which our policies let through', async () => {
    const browser = await launch();
    const visit = await Visit.open(browser);
    const { page } = visit;
    try {
      // The provider's development pages ask for a font of the internet.
      await visit.context.route('https://fonts.googleapis.com/**', (route) => route.fulfill({ body: '' }));
      await page.goto(`${vestibule.url}/sign-in`);
      await page.click('#provider-custom_acme');
      await page.fill('input[name=login]', 'xia');
      await page.fill('input[name=password]', 'x');
      await page.click('button[type=submit]');
      await page.waitForURL(/\/interaction\//);
      await page.click('button[type=submit]');
      await visit.at('user.profile');
      assert.match(await page.textContent('main'), /xia@acme\.test/);
      await visit.shot('user-of-another-provider');
      visit.forgive(/fonts\.googleapis\.com/);
      await visit.end();
    } finally {
      await browser.close();
    }
  });
});
