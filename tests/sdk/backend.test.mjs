// An app's server with the secret key: the unmodified server SDK reads users and fetches a provider's token, and the
// token works at the provider (seed S0).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClerkClient } from '@clerk/backend';
import { Person } from './support/person.mjs';
import { Vestibule } from './support/vestibule.mjs';

/** The documented envelope of every refusal. */
function assertRefused(answer, status, code) {
  assert.equal(answer.status, status);
  assert.equal(answer.headers.get('content-type'), 'application/json');
  const [first] = answer.body.errors;
  assert.deepEqual(Object.keys(first).sort(), ['code', 'long_message', 'message', 'meta']);
  assert.equal(first.code, code);
  assert.match(answer.body.clerk_trace_id, /^req_/);
}

describe('the server SDK', () => {
  let vestibule;
  let clerk;
  let nora;
  let userId;

  /** The provider's own API, where the seed has https://api.notion.com. */
  const notion = (token) =>
    fetch(`${vestibule.url}/_dev/providers/notion/v1/users`, {
      headers: { Authorization: `Bearer ${token}`, 'Notion-Version': '2022-06-28' },
    });

  before(async () => {
    vestibule = await Vestibule.start();
    clerk = createClerkClient({ secretKey: vestibule.secretKey, apiUrl: vestibule.url });
    nora = new Person();
    const back = await nora.signIn(`${vestibule.url}/sign-in`, { provider: 'notion', as: 'nora@example.com' });
    assert.equal(back.status, 200);
    assert.equal(new URL(back.url).pathname, '/user');
    const { data } = await clerk.users.getUserList({ emailAddress: ['nora@example.com'] });
    userId = data[0].id;
  });
  after(() => vestibule.stop());

  test('lists, counts and gets users', async () => {
    const { data, totalCount } = await clerk.users.getUserList({ limit: 100 });
    assert.equal(totalCount, data.length);
    assert.equal(await clerk.users.getCount(), data.length);
    const listed = data.find(({ id }) => id === userId);
    const user = await clerk.users.getUser(userId);
    assert.deepEqual(user.raw, listed.raw);
    assert.equal(user.fullName, 'Nora');
    assert.equal(user.emailAddresses[0].emailAddress, 'nora@example.com');
    const [account] = user.externalAccounts;
    assert.equal(account.provider, 'oauth_notion');
    assert.equal(account.emailAddress, 'nora@example.com');
    assert.equal(account.verification.status, 'verified');
    assert.ok(Date.now() - user.createdAt < 60_000, 'times are milliseconds');
  });

  test('gets an access token that works at the provider', async () => {
    const { data, totalCount } = await clerk.users.getUserOauthAccessToken(userId, 'notion');
    assert.equal(totalCount, 1);
    const [token] = data;
    assert.equal(token.provider, 'oauth_notion');
    assert.match(token.externalAccountId, /^eac_/);
    assert.deepEqual(token.scopes, []);
    assert.equal(token.publicMetadata && Object.keys(token.publicMetadata).length, 0);

    const answer = await notion(token.token);
    assert.equal(answer.status, 200);
    const people = await answer.json();
    assert.equal(people.object, 'list');
    assert.ok(people.results.some((user) => user.person?.email === 'nora@example.com'));
    assert.equal((await notion(`${token.token}x`)).status, 401, 'the provider checks the token');
  });

  test('answers both spellings of the provider, as an array or a page', async () => {
    const at = (spelling) => `/v1/users/${userId}/oauth_access_tokens/${spelling}`;
    const short = await vestibule.backend('GET', at('notion'));
    const long = await vestibule.backend('GET', at('oauth_notion'));
    const paged = await vestibule.backend('GET', `${at('oauth_notion')}?paginated=true`);
    assert.equal(short.status, 200);
    assert.equal(short.headers.get('content-type'), 'application/json');
    assert.equal(short.headers.get('cache-control'), 'no-store');
    assert.deepEqual(long.body, short.body);
    assert.deepEqual(paged.body, { data: short.body, total_count: 1 });
    const members = ['expires_at', 'external_account_id', 'label', 'object', 'provider', 'provider_user_id'];
    assert.deepEqual(Object.keys(short.body[0]).sort(), [...members, 'public_metadata', 'scopes', 'token']);
    assert.equal(short.body[0].expires_at, null, 'Notion names no life');
  });

  test('finds nothing for a provider that is not connected', async () => {
    const { data, totalCount } = await clerk.users.getUserOauthAccessToken(userId, 'google');
    assert.deepEqual([data, totalCount], [[], 0]);
  });

  test('is told what is wrong in the documented form', async () => {
    const path = `/v1/users/${userId}/oauth_access_tokens/notion`;
    const plain = async (headers) => {
      const answer = await fetch(vestibule.url + path, { headers });
      return { status: answer.status, headers: answer.headers, body: await answer.json() };
    };
    assertRefused(await plain({}), 401, 'authentication_invalid');
    assertRefused(await plain({ authorization: 'Bearer sk_live_00000000000000000000000000000000' }), 401, 'clerk_key_invalid');
    const nobody = '/v1/users/user_000000000000000000000000000';
    assertRefused(await vestibule.backend('GET', nobody), 404, 'resource_not_found');
    assertRefused(await vestibule.backend('GET', `${nobody}/oauth_access_tokens/notion`), 404, 'resource_not_found');
    assertRefused(await vestibule.backend('GET', path.replace('notion', 'nonesuch')), 400, 'oauth_unsupported_provider');

    const thrown = await clerk.users.getUser('user_000000000000000000000000000').catch((error) => error);
    assert.equal(thrown.status, 404);
    assert.equal(thrown.errors[0].code, 'resource_not_found');
    const stranger = createClerkClient({ secretKey: 'sk_live_00000000000000000000000000000000', apiUrl: vestibule.url });
    const refused = await stranger.users.getCount().catch((error) => error);
    assert.equal(refused.status, 401);
    assert.equal(refused.errors[0].code, 'clerk_key_invalid');
  });

  test('has no business in a browser', async () => {
    const headers = { origin: 'http://localhost:3000', authorization: `Bearer ${vestibule.secretKey}` };
    for (const path of ['/v1/users', `/v1/users/${userId}/oauth_access_tokens/notion`]) {
      for (const method of ['GET', 'OPTIONS']) {
        const answer = await fetch(vestibule.url + path, { method, headers });
        const open = [...answer.headers.keys()].filter((name) => name.startsWith('access-control-'));
        assert.deepEqual(open, [], `${method} ${path}`);
      }
    }
  });

  test('lists where native applications may be sent', async () => {
    const url = 'my-app://callback';
    const made = await clerk.redirectUrls.createRedirectUrl({ url });
    assert.match(made.id, /^ru_/);
    assert.equal(made.url, url);
    assert.ok(Date.now() - made.createdAt < 60_000, 'times are milliseconds');
    assert.deepEqual(await clerk.redirectUrls.getRedirectUrl(made.id), made);
    const { data, totalCount } = await clerk.redirectUrls.getRedirectUrlList();
    assert.deepEqual([data, totalCount], [[made], 1]);

    const refused = await clerk.redirectUrls.createRedirectUrl({ url: 'javascript:alert(1)' }).catch((error) => error);
    assert.equal(refused.status, 422, JSON.stringify(refused.errors));
    const gone = await clerk.redirectUrls.deleteRedirectUrl(made.id);
    assert.equal(gone.id, made.id);
    const missing = await clerk.redirectUrls.getRedirectUrl(made.id).catch((error) => error);
    assert.deepEqual([missing.status, missing.errors[0].code], [404, 'resource_not_found']);
    assert.equal((await clerk.redirectUrls.getRedirectUrlList()).totalCount, 0);
  });

  test('removes an account of a user, unless it is the only way in', async () => {
    const olga = new Person();
    await olga.signIn(`${vestibule.url}/sign-in`, { provider: 'google', as: 'olga@example.com' });
    const find = async () => (await clerk.users.getUserList({ emailAddress: ['olga@example.com'] })).data[0];
    const user = await find();
    const externalAccountId = user.externalAccounts[0].id;
    const other = await clerk.users.deleteUserExternalAccount({ userId, externalAccountId }).catch((error) => error);
    assert.equal(other.status, 404, 'another user has no such account');
    const gone = await clerk.users.deleteUserExternalAccount({ userId: user.id, externalAccountId });
    assert.deepEqual([gone.id, gone.deleted], [externalAccountId, true]);
    assert.deepEqual((await find()).externalAccounts, []);
    const { data } = await clerk.users.getUserOauthAccessToken(user.id, 'google');
    assert.deepEqual(data, [], 'its tokens went with it');

    // Notion vouches for no address, so nothing else would let Nora in.
    const { externalAccounts } = await clerk.users.getUser(userId);
    const last = { userId, externalAccountId: externalAccounts[0].id };
    const refused = await clerk.users.deleteUserExternalAccount(last).catch((error) => error);
    assert.deepEqual([refused.status, refused.errors[0].code], [400, 'identification_deletion_failed']);
    assert.equal((await clerk.users.getUser(userId)).externalAccounts.length, 1);
  });

  test('is the only one who ever sees the token', async () => {
    const { data } = await clerk.users.getUserOauthAccessToken(userId, 'notion');
    const origin = 'http://localhost:3000';
    const client = await nora.api('GET', `${vestibule.url}/v1/client`, { origin });
    assert.equal(client.body.response.sessions[0].user.external_accounts[0].provider, 'oauth_notion');
    const session = client.body.response.sessions[0].id;
    await nora.api('POST', `${vestibule.url}/v1/client/sessions/${session}/tokens`, { origin });
    await nora.api('GET', `${vestibule.url}/v1/environment`, { origin });
    await nora.open(`${vestibule.url}/user`);
    await nora.open(`${vestibule.url}/v1/client/handshake?redirect_url=${origin}/`, (next) => next.startsWith(origin));
    assert.ok(nora.seen.length > 10);
    const leaks = nora.seen.filter((text) => text.includes(data[0].token));
    assert.deepEqual(leaks, []);
  });
});
