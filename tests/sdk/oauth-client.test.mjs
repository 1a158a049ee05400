// A third-party application: openid-client signs people in with "authorization code, PKCE S256, refresh" and nothing
// special (seeds S1, S3).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as oidc from 'openid-client';
import { words } from './support/html.mjs';
import { authorization, discover } from './support/oauth.mjs';
import { Person } from './support/person.mjs';
import { Vestibule } from './support/vestibule.mjs';

const CALLBACK = 'http://localhost:3000/oauth_callback';
const leaves = (next) => next.startsWith(CALLBACK);

describe('an OAuth client', () => {
  let vestibule;
  before(async () => {
    vestibule = await Vestibule.start();
  });
  after(() => vestibule.stop());

  /** The seed's call: `POST /v1/oauth_applications`. */
  async function register(body) {
    const answer = await vestibule.backend('POST', '/v1/oauth_applications', { callback_url: CALLBACK, ...body });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  }

  /** From the authorization address to the client's callback, by way of sign-in and consent where they come. */
  async function authorize(person, url, { as = 'mia@example.com', button = 'consent-allow' } = {}) {
    let at = await person.open(url, leaves);
    if (at.page === 'sign-in.start') {
      const sent = await person.press(at, ({ id }) => id === 'provider-google');
      at = await person.approve(sent.headers.get('location'), { as, stop: leaves });
    }
    assert.equal(at.page, 'oauth.consent', `${at.url} ${words(at.text ?? '')}`);
    const done = await person.follow(await person.press(at, ({ id }) => id === button), leaves);
    assert.ok(done.left, `the browser goes back to the client, not to ${done.url}: ${words(done.text)}`);
    return { consent: at, callback: new URL(done.left) };
  }

  test('is created with the answer of the published API, its secret shown once', async () => {
    const created = await register({ name: 'oauth_app_1', scopes: 'profile email' });
    const members = ['object', 'id', 'instance_id', 'name', 'client_id', 'client_secret', 'scopes', 'callback_url'];
    for (const member of [...members, 'authorize_url', 'token_fetch_url', 'user_info_url', 'created_at', 'updated_at']) {
      assert.ok(member in created, member);
    }
    assert.equal(created.object, 'oauth_application');
    assert.match(created.id, /^oa_[0-9A-Za-z]{27}$/);
    assert.match(created.instance_id, /^ins_[0-9A-Za-z]{27}$/);
    assert.match(created.client_id, /^[0-9A-Za-z]{16}$/);
    assert.match(created.client_secret, /^[0-9A-Za-z]{32}$/);
    assert.equal(created.scopes, 'profile email');
    assert.equal(created.callback_url, CALLBACK);
    assert.equal(created.authorize_url, `${vestibule.url}/oauth/authorize`);
    assert.equal(created.token_fetch_url, `${vestibule.url}/oauth/token`);
    assert.equal(created.user_info_url, `${vestibule.url}/oauth/userinfo`);
    assert.equal(created.created_at, created.updated_at);
    assert.ok(Math.abs(created.created_at - Date.now()) < 60_000);

    const read = await vestibule.backend('GET', `/v1/oauth_applications/${created.id}`);
    assert.equal(read.status, 200);
    assert.equal(read.body.client_id, created.client_id);
    assert.ok(!('client_secret' in read.body));
    const listed = await vestibule.backend('GET', '/v1/oauth_applications');
    assert.ok(!JSON.stringify(listed.body).includes(created.client_secret));
    assert.ok(listed.body.data.some(({ id }) => id === created.id));
  });

  test('signs a person in: sign-in page, consent page, code, tokens, userinfo, refresh', async () => {
    const application = await register({ name: 'Paper Route', scopes: 'profile email' });
    const config = await discover(vestibule.url, application.client_id, application.client_secret);
    assert.equal(config.serverMetadata().issuer, vestibule.url);
    const scope = 'openid email profile';
    const { url, checks } = await authorization(config, { redirect_uri: CALLBACK, scope });
    const mia = new Person();
    const { consent, callback } = await authorize(mia, url);

    const page = words(consent.text);
    assert.match(page, /Paper Route/);
    assert.match(page, /mia@example\.com/);
    assert.match(page, /localhost/, 'the page names the host the person goes back to');
    assert.match(page, /email address/i);
    assert.match(page, /name/i);
    assert.deepEqual([...callback.searchParams.keys()].sort(), ['code', 'iss', 'state']);
    assert.equal(callback.searchParams.get('iss'), vestibule.url);

    const before = Math.floor(Date.now() / 1000);
    const tokens = await oidc.authorizationCodeGrant(config, callback, checks);
    const members = ['access_token', 'expires_in', 'id_token', 'refresh_token', 'scope', 'token_type'];
    assert.deepEqual(Object.keys(tokens).sort(), members);
    assert.equal(tokens.expires_in, 7200);
    assert.equal(tokens.scope, scope);
    assert.equal(tokens.token_type, 'bearer');
    assert.match(tokens.access_token, /^oat_[0-9A-Za-z_-]{46}$/);
    assert.match(tokens.refresh_token, /^ort_[0-9A-Za-z_-]{46}$/);

    const claims = tokens.claims();
    assert.match(claims.sub, /^user_[0-9A-Za-z]{27}$/);
    assert.equal(claims.aud, application.client_id);
    assert.equal(claims.exp - claims.iat, 7200);
    assert.ok(claims.auth_time >= before - 60);
    assert.equal(claims.email, 'mia@example.com');
    assert.equal(claims.email_verified, true);

    const info = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
    assert.equal(info.user_id, claims.sub);
    assert.equal(info.email, 'mia@example.com');

    const refreshed = await oidc.refreshTokenGrant(config, tokens.refresh_token);
    assert.deepEqual(Object.keys(refreshed).sort(), members);
    assert.equal(refreshed.expires_in, 7200);
    assert.equal(refreshed.scope, scope);
    assert.notEqual(refreshed.refresh_token, tokens.refresh_token);
    assert.notEqual(refreshed.access_token, tokens.access_token);
    assert.equal(refreshed.claims().sub, claims.sub);
    assert.equal(refreshed.claims().auth_time, claims.auth_time);
    await oidc.fetchUserInfo(config, refreshed.access_token, claims.sub);

    // A repeated use within the grace window gets the same successor; after that successor was used, it is theft.
    const again = await oidc.refreshTokenGrant(config, tokens.refresh_token);
    assert.equal(again.refresh_token, refreshed.refresh_token);
    await oidc.refreshTokenGrant(config, refreshed.refresh_token);
    const reused = await oidc.refreshTokenGrant(config, tokens.refresh_token).catch((error) => error);
    assert.equal(reused.error, 'invalid_grant');
    assert.equal(reused.status, 400);
    const dead = await oidc.fetchUserInfo(config, refreshed.access_token, claims.sub).catch((error) => error);
    assert.equal(dead.status, 401);
  });

  test('is given exactly the members of its scopes at userinfo', async () => {
    const scopes = 'profile email public_metadata private_metadata';
    const application = await register({ name: 'oauth_app_2', scopes });
    const config = await discover(vestibule.url, application.client_id, application.client_secret);
    const person = new Person();
    const userinfo = async (scope) => {
      const { url, checks } = await authorization(config, { redirect_uri: CALLBACK, scope, prompt: 'consent' });
      const { callback } = await authorize(person, url, { as: 'ida@example.com' });
      const tokens = await oidc.authorizationCodeGrant(config, callback, checks);
      return oidc.fetchUserInfo(config, tokens.access_token, oidc.skipSubjectCheck);
    };

    const all = await userinfo(scopes);
    const { user_id } = all;
    const user = (await vestibule.backend('GET', `/v1/users/${user_id}`)).body;
    assert.deepEqual(all, {
      object: 'oauth_user_info',
      instance_id: application.instance_id,
      user_id,
      sub: user_id,
      email: 'ida@example.com',
      email_verified: true,
      name: [user.first_name, user.last_name].filter(Boolean).join(' '),
      given_name: user.first_name,
      ...(user.last_name && { family_name: user.last_name }),
      picture: user.image_url,
      updated_at: Math.floor(user.updated_at / 1000),
      public_metadata: {},
      private_metadata: {},
      unsafe_metadata: {},
    });
    const always = { object: 'oauth_user_info', instance_id: application.instance_id, user_id, sub: user_id };
    assert.deepEqual(await userinfo('email'), { ...always, email: 'ida@example.com', email_verified: true });
    assert.deepEqual(await userinfo('public_metadata'), { ...always, public_metadata: {}, unsafe_metadata: {} });
    assert.deepEqual(await userinfo('private_metadata'), { ...always, private_metadata: {} });
  });

  test('may be public: PKCE is then demanded, and no secret exists', async () => {
    const application = await register({ name: 'oauth_app_pkce', public: true });
    assert.equal(application.client_secret ?? null, null);
    const config = await discover(vestibule.url, application.client_id);
    const request = { redirect_uri: CALLBACK, scope: 'profile email' };
    const { url, checks } = await authorization(config, request);
    const person = new Person();
    const { callback } = await authorize(person, url);
    const tokens = await oidc.authorizationCodeGrant(config, callback, checks);
    assert.equal(tokens.expires_in, 7200);

    const bare = oidc.buildAuthorizationUrl(config, { ...request, state: oidc.randomState() });
    const refused = await person.open(bare.href, leaves);
    assert.equal(new URL(refused.left).searchParams.get('error'), 'invalid_request');

    const second = await authorization(config, request);
    const { callback: other } = await authorize(person, second.url);
    const wrong = { ...second.checks, pkceCodeVerifier: oidc.randomPKCECodeVerifier() };
    const error = await oidc.authorizationCodeGrant(config, other, wrong).catch((thrown) => thrown);
    assert.equal(error.error, 'invalid_grant');
  });

  test('learns that the person said no', async () => {
    const application = await register({ name: 'Too Curious', scopes: 'profile email' });
    const config = await discover(vestibule.url, application.client_id, application.client_secret);
    const { url, checks } = await authorization(config, { redirect_uri: CALLBACK, scope: 'openid email' });
    const { callback } = await authorize(new Person(), url, { button: 'consent-deny' });
    assert.equal(callback.searchParams.get('error'), 'access_denied');
    assert.equal(callback.searchParams.get('state'), checks.expectedState);
    const thrown = await oidc.authorizationCodeGrant(config, callback, checks).catch((error) => error);
    assert.equal(thrown.error, 'access_denied');
  });

  test('gets one use out of a code', async () => {
    const application = await register({ name: 'Twice', scopes: 'profile email' });
    const config = await discover(vestibule.url, application.client_id, application.client_secret);
    const { url, checks } = await authorization(config, { redirect_uri: CALLBACK, scope: 'openid email' });
    const { callback } = await authorize(new Person(), url);
    const tokens = await oidc.authorizationCodeGrant(config, callback, checks);
    const thrown = await oidc.authorizationCodeGrant(config, callback, checks).catch((error) => error);
    assert.equal(thrown.error, 'invalid_grant');
    const dead = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub).catch((error) => error);
    assert.equal(dead.status, 401, 'what the replayed code gave is withdrawn');
  });
});
