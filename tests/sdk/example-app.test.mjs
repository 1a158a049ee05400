// The app of tests/sdk/example-app in a browser: its server knows who is there through the unmodified
// `authenticateRequest` of @clerk/backend.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startExampleApp } from './example-app/server.mjs';
import { Visit, launch } from './support/chromium.mjs';
import { Vestibule } from './support/vestibule.mjs';

describe('an app with the server SDK', { concurrency: true }, () => {
  let vestibule, browser, keys;
  before(async () => {
    [vestibule, browser] = await Promise.all([Vestibule.start(), launch()]);
    keys = { secretKey: vestibule.secretKey, publishableKey: vestibule.publishableKey, apiUrl: vestibule.url };
  });
  after(async () => {
    await browser?.close();
    await vestibule?.stop();
  });

  /** Each story has its own app and browser profile. */
  const story = (title, tell) =>
    test(title, async () => {
      const app = await startExampleApp(keys);
      const visit = await Visit.open(browser);
      try {
        await tell({ app, visit, page: visit.page });
        assert.equal(visit.visited.filter((url) => url.includes('__clerk')).length, 0, 'no handshake parameter in an address');
        await visit.end();
      } finally {
        await app.stop();
      }
    });

  async function signIn({ app, visit, page }, person) {
    await page.goto(app.url);
    await page.click('#sign-in');
    await visit.at('sign-in.start');
    await page.click('#provider-google');
    await visit.at('simulator.authorize');
    await page.fill('input[name=email]', person);
    await page.click('form button[type=submit]:not([name])');
    await page.waitForSelector('#user');
    assert.equal(page.url(), `${app.url}/`);
  }

  const who = (page) => page.textContent('#who');

  /** What the app's server thinks of a request that is no navigation. */
  const asked = (page) => page.evaluate(() => fetch('/whoami').then((answer) => answer.json()));

  const cookies = async (visit, app) =>
    Object.fromEntries((await visit.context.cookies(app.url)).map(({ name, ...rest }) => [name, rest]));

  story('sends people to the hosted page and knows them when they come back', async (scene) => {
    const { app, visit, page } = scene;
    await page.goto(app.url);
    assert.equal(await who(page), 'Nobody is signed in.');
    await visit.shot('app-signed-out');
    await signIn(scene, 'amy@example.com');
    assert.equal(await who(page), 'Signed in as amy@example.com.');
    await visit.shot('app-signed-in');
    assert.ok(app.reasons.includes('client-uat-but-no-session-token'), app.reasons.join());

    const { isAuthenticated, userId, sessionId } = await asked(page);
    assert.equal(isAuthenticated, true);
    assert.equal(userId, await page.textContent('#user'));
    assert.match(sessionId, /^sess_/);

    const jar = await cookies(visit, app);
    assert.equal(jar.__client.httpOnly, true);
    assert.equal(jar.__client.sameSite, 'Lax');
    assert.ok(Number(jar.__client_uat.value) > 0);
    assert.ok(jar.__session);
    const left = Object.keys(jar).filter((name) => name.startsWith('__clerk_handshake'));
    assert.deepEqual(left, [], 'no handshake cookie is left behind');
    const plain = Object.values(jar).filter(({ secure }) => secure);
    assert.deepEqual(plain, [], 'nothing is Secure over plain http');
  });

  story('keeps them when the session token has expired', async (scene) => {
    const { app, page } = scene;
    await signIn(scene, 'ben@example.com');
    const user = await page.textContent('#user');
    const { exp } = await page.evaluate(() => {
      const [, token] = /(?:^|; )__session=([^;]*)/.exec(document.cookie);
      return JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
    });
    assert.ok(exp - Date.now() / 1000 <= 60);
    // The SDK allows for clocks that differ by 5 seconds.
    await page.waitForTimeout(exp * 1000 - Date.now() + 6000);
    assert.deepEqual(await asked(page), { isAuthenticated: false, userId: null, sessionId: null }, 'not by itself');
    app.reasons.length = 0;
    await page.goto(app.url);
    assert.equal(await page.textContent('#user'), user);
    assert.match(app.reasons[0], /^session-token-expired/);
    assert.equal((await asked(page)).userId, user);
  });

  story('forgets them at once when they sign out', async (scene) => {
    const { app, visit, page } = scene;
    await signIn(scene, 'cal@example.com');
    await page.click('#sign-out');
    await page.waitForSelector('#sign-in');
    assert.equal(await who(page), 'Nobody is signed in.');
    assert.deepEqual(await asked(page), { isAuthenticated: false, userId: null, sessionId: null });
    const jar = await cookies(visit, app);
    assert.equal(jar.__client_uat.value, '0');
    assert.equal(jar.__session, undefined);
    assert.ok(app.reasons.includes('session-token-but-no-client-uat'), app.reasons.join());
  });

  story('forgets them when they sign out on the hosted page', async (scene) => {
    const { app, visit, page } = scene;
    await signIn(scene, 'dot@example.com');
    await page.goto(`${vestibule.url}/user`);
    await visit.at('user.profile');
    await page.click('#sign-out');
    await visit.at('sign-in.start');
    await page.goto(app.url);
    assert.equal(await who(page), 'Nobody is signed in.');
  });

  story('signs strangers up from a page of its own, with relative addresses', async ({ app, visit, page }) => {
    const starts = [];
    page.on('request', (request) => {
      if (request.url().includes('/v1/client/sign_ins')) starts.push(request);
    });
    await page.goto(app.url);
    await page.click('#own');
    await visit.at('simulator.authorize');
    await page.fill('input[name=email]', 'eli.marsh@example.com');
    await page.click('form button[type=submit]:not([name])');
    await page.waitForSelector('#user');
    assert.equal(page.url(), `${app.url}/`);
    assert.equal(await who(page), 'Signed in as eli.marsh@example.com.');
    assert.ok(visit.visited.includes(`${app.url}/sso-callback`), 'a stranger comes back to redirect_url');
    const sent = await starts[0].allHeaders();
    assert.match(sent['content-type'], /^application\/x-www-form-urlencoded/);
    assert.equal(sent.origin, app.url);
    const answer = await (await starts[0].response()).allHeaders();
    assert.equal(answer['access-control-allow-origin'], app.url);
    assert.equal(answer['access-control-allow-credentials'], 'true');

    // The second time the same person is known, and lands on action_complete_redirect_url at once.
    await page.click('#sign-out');
    await page.click('#own');
    await visit.at('simulator.authorize');
    visit.visited.length = 0;
    await page.fill('input[name=email]', 'eli.marsh@example.com');
    await page.click('form button[type=submit]:not([name])');
    await page.waitForSelector('#user');
    assert.ok(!visit.visited.includes(`${app.url}/sso-callback`), visit.visited.join('\n'));
  });
});
