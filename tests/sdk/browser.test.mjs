// People in a real browser: the hosted pages, the simulated provider's page, consent; with script and without.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Visit, launch } from './support/chromium.mjs';
import { authorization, discover } from './support/oauth.mjs';
import { Vestibule } from './support/vestibule.mjs';
import * as oidc from 'openid-client';
import { createServer } from 'node:http';

/** An app's page that shows where the browser came back to. */
async function landing() {
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    response.end('<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>App</title><h1 id="app">The app</h1>');
  });
  await new Promise((listening) => server.listen(0, 'localhost', listening));
  const close = () => new Promise((closed) => (server.closeAllConnections(), server.close(closed)));
  return { url: `http://localhost:${server.address().port}`, close };
}

for (const javaScriptEnabled of [true, false]) {
  const kind = javaScriptEnabled ? 'with script' : 'without script';
  const name = (picture) => (javaScriptEnabled ? picture : `noscript-${picture}`);

  describe(`a browser ${kind}`, () => {
    let vestibule, browser, app, visit, page;

    before(async () => {
      [vestibule, browser, app] = await Promise.all([Vestibule.start(), launch(), landing()]);
    });
    after(async () => {
      await browser?.close();
      await app?.close();
      await vestibule?.stop();
    });

    /** Each story has a fresh browser profile, and fails on anything the browser complained about. */
    const story = (title, tell) =>
      test(title, async () => {
        visit = await Visit.open(browser, { javaScriptEnabled });
        page = visit.page;
        await tell();
        await visit.end();
      });

    /** Presses "Continue with Google" and is `person` at the simulated provider. */
    async function continueWithGoogle(person) {
      await visit.at('sign-in.start');
      await page.click('#provider-google');
      await visit.at('simulator.authorize');
      await page.fill('input[name=email]', person);
      await page.click('form button[type=submit]:not([name])');
    }

    story('signs in with a provider, sees the account, signs out', async () => {
      await page.goto(`${vestibule.url}/sign-in`);
      await visit.at('sign-in.start');
      const enabled = Object.values((await (await fetch(`${vestibule.url}/v1/environment`)).json()).user_settings.social)
        .filter((provider) => provider.enabled && provider.authenticatable)
        .map(({ strategy }) => strategy.replace('oauth_', 'provider-'));
      assert.ok(enabled.length >= 2, 'a development instance begins with simulated providers');
      const shown = await page.locator('button[id^=provider-]').evaluateAll((all) => all.map(({ id }) => id));
      assert.deepEqual(shown.sort(), enabled.sort());
      assert.match(await page.textContent('#provider-google'), /Continue with Google/);
      await visit.shots(name('sign-in'));

      await page.click('#provider-google');
      await visit.at('simulator.authorize');
      await visit.shots(name('simulator'));
      await page.fill('input[name=email]', 'wren.hollow@example.com');
      await page.click('form button[type=submit]:not([name])');

      await visit.at('user.profile');
      assert.equal(page.url(), `${vestibule.url}/user`);
      await visit.shots(name('user'));
      const text = await page.textContent('main');
      assert.match(text, /Wren Hollow/);
      assert.match(text, /wren\.hollow@example\.com/);
      assert.match(text, /Verified/);
      assert.match(text, /Google/);
      assert.equal(await page.locator('time').count(), 2, 'when the session began and when it ends');

      await page.goto(`${vestibule.url}/sign-in`);
      assert.equal(page.url(), `${vestibule.url}/user`, 'nobody signs in twice');
      await page.click('#sign-out');
      await visit.at('sign-in.start');
      await visit.shot(name('signed-out'));
      await page.goto(`${vestibule.url}/user`);
      await visit.at('sign-in.start');
      assert.equal(new URL(page.url()).searchParams.get('redirect_url'), `${vestibule.url}/user`);
    });

    story('connects another account and removes it', async () => {
      await page.goto(`${vestibule.url}/sign-in`);
      await continueWithGoogle('plover@example.com');
      await visit.at('user.profile');
      await page.click('a[href="/user/connections"]');
      await visit.at('user.connections');
      const main = page.locator('main');
      assert.equal(await main.getAttribute('data-state'), 'connections');
      assert.equal(await page.locator('#provider-google').count(), 0, 'what is connected is not offered');

      await page.click('#provider-notion');
      await visit.at('simulator.authorize');
      await page.fill('input[name=email]', 'plover@example.com');
      await page.click('form button[type=submit]:not([name])');
      await visit.at('user.connections');
      assert.equal(await main.getAttribute('data-state'), 'reconnected');
      assert.match(await main.textContent(), /The account is connected\./);
      assert.equal(await page.locator('a[id^=remove-eac_]').count(), 2);
      await visit.shots(name('connections'));

      await page.click('li:has-text("Notion") a[id^=remove-]');
      await page.waitForSelector('main[data-state="remove.confirm"]');
      await visit.shots(name('connection-remove'));
      await page.click('#remove');
      await page.waitForSelector('#provider-notion');
      assert.match(await main.textContent(), /The account was removed\./);
      assert.equal(await page.locator('a[id^=remove-eac_]').count(), 1);
    });

    story('is the same person the second time', async () => {
      const who = async () => {
        await page.goto(`${vestibule.url}/sign-in`);
        await continueWithGoogle('robin@example.com');
        await visit.at('user.profile');
        const { body } = await vestibule.backend('GET', '/v1/users?email_address=robin@example.com');
        assert.equal(body.length, 1);
        return body[0].id;
      };
      const first = await who();
      await page.click('#sign-out');
      assert.equal(await who(), first);
    });

    story('comes back to an allowed address, and to no other', async () => {
      const target = `${app.url}/after?tab=2#top`;
      await page.goto(`${vestibule.url}/sign-in?redirect_url=${encodeURIComponent(target)}`);
      await continueWithGoogle('lark@example.com');
      await page.waitForSelector('#app');
      assert.equal(page.url(), target);

      // Signed in already: straight back, but only to where it is allowed.
      await page.goto(`${vestibule.url}/sign-in?redirect_url=${encodeURIComponent(target)}`);
      await page.waitForSelector('#app');
      const evil = ['https://evil.example/', '//evil.example/', 'javascript:alert(1)', 'http://localhost@evil.example/'];
      for (const address of [...evil, 'http:\\\\evil.example', '/\\evil.example']) {
        await page.goto(`${vestibule.url}/sign-in?redirect_url=${encodeURIComponent(address)}`);
        await visit.at('user.profile');
        assert.equal(page.url(), `${vestibule.url}/user`, address);
      }
    });

    story('may cancel at the provider', async () => {
      await page.goto(`${vestibule.url}/sign-in?redirect_url=${encodeURIComponent(app.url)}`);
      await visit.at('sign-in.start');
      await page.click('#provider-google');
      await visit.at('simulator.authorize');
      await page.click('#denied');
      await visit.at('provider.error');
      const main = page.locator('main');
      assert.equal(await main.getAttribute('data-state'), 'cancelled');
      assert.match(await main.textContent(), /Sign-in was cancelled\./);
      await visit.shots(name('cancelled'));
      await page.click('#try-again');
      // The way on still leads back to the app.
      await continueWithGoogle('finch@example.com');
      await page.waitForSelector('#app');
    });

    story('asks before an application gets anything', async () => {
      const callback = `${app.url}/callback`;
      const created = await vestibule.backend('POST', '/v1/oauth_applications', {
        name: 'Pigeon Post',
        callback_url: callback,
        scopes: 'profile email private_metadata',
      });
      const config = await discover(vestibule.url, created.body.client_id, created.body.client_secret);
      const ask = async () => {
        const request = await authorization(config, { redirect_uri: callback, scope: 'openid profile email private_metadata' });
        await page.goto(request.url);
        return request.checks;
      };

      await ask();
      await continueWithGoogle('swift@example.com');
      await visit.at('oauth.consent');
      assert.match(await page.textContent('h1'), /Pigeon Post/);
      assert.match(await page.textContent('main'), /swift@example\.com/);
      const [deny, allow] = await Promise.all(['#consent-deny', '#consent-allow'].map((id) => page.locator(id).boundingBox()));
      assert.deepEqual([deny.width, deny.height], [allow.width, allow.height], 'both answers have equal weight');
      await visit.shots(name('consent'));
      await page.click('#consent-deny');
      await page.waitForSelector('#app');
      assert.equal(new URL(page.url()).searchParams.get('error'), 'access_denied');

      const checks = await ask();
      await visit.at('oauth.consent');
      // A click within half a second of the page's appearance is not a decision (double-click stealing).
      await page.waitForTimeout(600);
      await page.click('#consent-allow');
      await page.waitForSelector('#app');
      const tokens = await oidc.authorizationCodeGrant(config, new URL(page.url()), checks);
      assert.equal(tokens.claims().email, 'swift@example.com');
    });

    story('is one of the example people with any provider, at one press', async () => {
      const ids = [];
      for (const provider of ['google', 'notion']) {
        await page.goto(`${vestibule.url}/sign-in`);
        await page.click(`#provider-${provider}`);
        await visit.at('simulator.authorize');
        await page.click('button[name=person][value="ada@example.com"]');
        await visit.at('user.profile');
        assert.match(await page.textContent('main'), /Ada Lovelace/);
        const client = await page.request.get(`${vestibule.url}/v1/client`);
        ids.push((await client.json()).response.sessions[0].user.id);
        await page.click('#sign-out');
      }
      assert.equal(ids[0], ids[1]);
      await page.goto(`${vestibule.url}/_dev`);
      await page.click('#person-1');
      await visit.at('user.profile');
    });

    story('is told plainly when an address leads nowhere', async () => {
      const answer = await page.goto(`${vestibule.url}/nowhere`);
      assert.equal(answer.status(), 404);
      await visit.shots(name('not-found'));
      await page.goto(`${vestibule.url}/v1/oauth_callback?code=x&state=y`);
      assert.match(await page.textContent('main'), /took too long or began in another browser/);
      await visit.shots(name('callback-refused'));
      await page.goto(`${vestibule.url}/oauth/authorize?client_id=nobody`);
      await visit.shots(name('client-unknown'));
      visit.forgive(/Failed to load resource: .* status of 40[014]/);
    });

    story('chooses a password, forgets it and chooses another', async () => {
      const settings = ['attributes.password.enabled=true', 'attributes.email_address.verify_at_sign_up=true'];
      const changed = await vestibule.run(['instance', 'set', ...settings]);
      assert.equal(changed.code, 0, changed.stderr);
      const newest = async (to) => {
        const { messages } = await (await fetch(`${vestibule.url}/_dev/inbox.json?to=${encodeURIComponent(to)}`)).json();
        return messages[0].code;
      };
      const wait = (state) => page.waitForSelector(`main[data-state="${state}"]`);
      const address = 'wheatear@example.com';
      await page.goto(`${vestibule.url}/sign-up`);
      await visit.at('sign-up.start');
      await visit.shots(name('sign-up-password'));
      await page.fill('#email_address', address);
      await page.fill('#password', 'blauwale fliegen nie');
      const look = page.locator('#show-password');
      assert.equal(await look.isVisible(), javaScriptEnabled, 'needs script, and is there only with it');
      if (javaScriptEnabled) {
        await look.click();
        assert.equal(await page.getAttribute('#password', 'type'), 'text');
        await look.click();
      }
      await page.click('form:has(#password) #continue');
      await visit.at('sign-up.verify');
      await page.fill('#code', await newest(address));
      await page.click('#continue');
      await visit.at('user.profile');
      await page.click('#sign-out');

      await visit.at('sign-in.start');
      await visit.shots(name('sign-in-password'));
      await page.fill('#identifier', address);
      await page.click('#sign-in-submit');
      await visit.at('sign-in.factor-one');
      await wait('password');
      await visit.shots(name('factor-one-password'));
      await page.fill('#password', 'not this one at all');
      await page.click('#continue');
      await wait('error.credentials');
      await visit.shots(name('factor-one-wrong'));
      await page.click('#forgot-password');
      await visit.at('sign-in.reset');
      assert.equal(await page.inputValue('#identifier'), address);
      await visit.shots(name('reset-begin'));
      await page.click('#continue');
      await wait('code');
      await page.fill('#code', await newest(address));
      await page.click('#continue');
      await wait('reset.new');
      await visit.shots(name('reset-new'));
      await page.fill('#new-password', '12345678');
      await page.click('#continue');
      await wait('error.reset');
      await page.fill('#new-password', 'drei ziegen im regen');
      await page.click('#continue');
      await visit.at('user.profile');
      await page.click('#sign-out');
      await visit.at('sign-in.start');
      await page.fill('#identifier', address);
      await page.fill('#password', 'drei ziegen im regen');
      await page.click('#sign-in-submit');
      await visit.at('user.profile');
      visit.forgive(/Failed to load resource: .* status of 422/);
    });

    story('shows the development pages', async () => {
      await page.goto(`${vestibule.url}/_dev`);
      assert.match(await page.textContent('main'), new RegExp(vestibule.publishableKey.replace('$', '\\$')));
      await visit.shots(name('dev'));
    });
  });
}

/** An app that signs in by a popup as the browser SDK does, and shows every message that it is sent. */
async function popupApp(vestibule) {
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    response.end(`<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>App</title>
<button id="go">Sign in</button><script>
  window.told = [];
  addEventListener('message', ({ origin, data }) => window.told.push({ origin, data }));
  document.getElementById('go').onclick = async () => {
    const popup = open('about:blank', '_blank', 'width=500,height=700');
    popup.location = await window.start();
  };
</script></html>`);
  });
  await new Promise((listening) => server.listen(0, 'localhost', listening));
  const url = `http://localhost:${server.address().port}`;
  const close = () => new Promise((closed) => (server.closeAllConnections(), server.close(closed)));
  /** What the button does before the popup leaves: begins an attempt, or nothing but naming an address. */
  const begins = (page, kind) =>
    page.evaluate(
      ([fapi, app, kind]) => {
        window.start = async () => {
          const end = `${fapi}/popup-callback`;
          const incomplete = `${end}?return_url=${encodeURIComponent(`${app}/sso-callback?a=1&b=2`)}`;
          const form = { strategy: 'oauth_google', redirect_url: incomplete, action_complete_redirect_url: end };
          const body = new URLSearchParams(form);
          const answer = await fetch(`${fapi}/v1/client/${kind}`, { method: 'POST', credentials: 'include', body });
          const { response } = await answer.json();
          const proof = response.first_factor_verification ?? response.verifications.external_account;
          return proof.external_verification_redirect_url;
        };
      },
      [vestibule.url, url, kind],
    );
  return { url, close, begins };
}

describe('a popup of an app on another origin', () => {
  let vestibule, browser, app, stranger, visit, page;

  before(async () => {
    [vestibule, browser] = await Promise.all([Vestibule.start(), launch()]);
    [app, stranger] = await Promise.all([popupApp(vestibule), popupApp(vestibule)]);
    visit = await Visit.open(browser);
    page = visit.page;
  });
  after(async () => {
    await browser?.close();
    await app?.close();
    await stranger?.close();
    await vestibule?.stop();
  });

  /** Presses the button; the popup, and what its own pages complain about. */
  async function opened() {
    const [popup] = await Promise.all([visit.context.waitForEvent('page'), page.click('#go')]);
    popup.setDefaultTimeout(15_000);
    popup.complaints = [];
    popup.on('console', (message) => message.type() === 'error' && popup.complaints.push(message.text()));
    popup.on('pageerror', (error) => popup.complaints.push(error.message));
    return popup;
  }

  /** Is `person` at the simulated provider, and sees the popup close by itself. */
  async function through(popup, person) {
    await popup.waitForSelector('main[data-page="simulator.authorize"]');
    assert.equal(await popup.evaluate(() => window.opener !== null), true, 'the opener survives the way there');
    await popup.fill('input[name=email]', person);
    const closed = popup.waitForEvent('close');
    // The popup is gone before the click is over.
    await popup.click('form button[type=submit]:not([name])', { noWaitAfter: true }).catch(() => {});
    await closed;
    assert.deepEqual(popup.complaints, []);
  }

  const told = () => page.evaluate(() => window.told);
  let session;

  test('tells the session that began, once', async () => {
    await page.goto(app.url);
    await app.begins(page, 'sign_ups');
    await through(await opened(), 'wren@example.com');
    const messages = await told();
    assert.equal(messages.length, 1);
    session = messages[0].data.session;
    assert.match(session, /^sess_/);
    assert.deepEqual(messages, [{ origin: vestibule.url, data: { session } }]);
    const client = await page.evaluate(async (fapi) => (await fetch(`${fapi}/v1/client`, { credentials: 'include' })).json(), vestibule.url);
    assert.deepEqual(client.response.sessions.map(({ id }) => id), [session]);
    assert.deepEqual(visit.complaints, []);
  });

  test('tells a window of another origin nothing', async () => {
    const end = `${vestibule.url}/popup-callback?__clerk_created_session=${session}`;
    for (const [opener, expected] of [[stranger, []], [app, [{ origin: vestibule.url, data: { session } }]]]) {
      await page.goto(opener.url);
      await page.evaluate((end) => (window.start = () => end), end);
      const popup = await opened();
      if (!popup.isClosed()) await popup.waitForEvent('close');
      assert.deepEqual(await told(), expected, opener.url);
    }
    // Without an opener there is a way on.
    await page.goto(end);
    await page.waitForSelector('main[data-page="popup.callback"][data-state="no-opener"]');
    assert.equal(await page.getAttribute('#continue', 'href'), app.url);
    await visit.shots('popup-no-opener');
    await page.goto(`${vestibule.url}/popup-callback?return_url=https%3A%2F%2Fevil.example%2F`);
    await page.waitForSelector('main[data-state="refused"]');
    await visit.shots('popup-refused');
    visit.forgive(/Failed to load resource: .* status of 400/);
    assert.deepEqual(visit.complaints, []);
  });

  test('sends the app on where more is to be done', async () => {
    visit = await Visit.open(browser);
    page = visit.page;
    await page.goto(app.url);
    await app.begins(page, 'sign_ins');
    await through(await opened(), 'nobody.yet@example.com');
    assert.deepEqual(await told(), [{ origin: vestibule.url, data: { return_url: `${app.url}/sso-callback?a=1&b=2` } }]);
    await visit.end();
  });
});
