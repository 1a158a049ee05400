// The route of the token guide (docs/provider-tokens.md) in the frameworks' own SDKs: who is signed in gets his Notion
// users through his stored token, who is not gets 401.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Person } from './support/person.mjs';
import { Vestibule, root, until } from './support/vestibule.mjs';

const folder = join(root, 'tests/sdk/frameworks');
const installed = (name) => join(folder, 'node_modules', name);

/** How each framework's server is started on a port, in its folder. */
const frameworks = {
  plain: () => ['plain', [join(folder, 'plain/server.mjs')]],
  express: () => ['express', [join(folder, 'express/server.mjs')]],
  nextjs: (port) => ['nextjs', [installed('next/dist/bin/next'), 'dev', '-p', port, '-H', 'localhost']],
  astro: (port) => ['astro', [installed('astro/astro.js'), 'dev', '--port', port, '--host', 'localhost']],
  'react-router': (port) => ['react-router', [installed('@react-router/dev/bin.js'), 'dev', '--port', port, '--host', 'localhost']],
  tanstack: (port) => ['tanstack', [join(folder, 'tanstack/node_modules/vite/bin/vite.js'), 'dev', '--port', port, '--host', 'localhost']],
};

/** The file of each example that the guide shows. */
const shown = {
  plain: 'plain/server.mjs',
  express: 'express/server.mjs',
  nextjs: 'nextjs/app/api/notion/route.js',
  astro: 'astro/src/pages/api/notion.js',
  'react-router': 'react-router/app/routes/notion.jsx',
  tanstack: 'tanstack/src/routes/api/notion.js',
};

const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(String(port)));
    });
  });

describe('the route of the token guide', () => {
  let vestibule;
  let nora;
  let sessionId;

  before(async () => {
    vestibule = await Vestibule.start();
    nora = new Person();
    await nora.signIn(`${vestibule.url}/sign-in`, { provider: 'notion', as: 'nora@example.com' });
    const { body } = await nora.api('GET', `${vestibule.url}/v1/client`);
    sessionId = body.response.last_active_session_id;
  });
  after(() => vestibule.stop());

  /** What `vestibule dev` prints, under the names that the frameworks read. */
  function environment(port) {
    const key = vestibule.publishableKey;
    return {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      PORT: port,
      APP_ORIGIN: `http://localhost:${port}`,
      NOTION_BASE: `${vestibule.url}/_dev/providers/notion`,
      NODE_OPTIONS: `--import ${join(folder, 'simulated-notion.mjs')}`,
      CLERK_SECRET_KEY: vestibule.secretKey,
      CLERK_PUBLISHABLE_KEY: key,
      NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: key,
      PUBLIC_CLERK_PUBLISHABLE_KEY: key,
      VITE_CLERK_PUBLISHABLE_KEY: key,
      CLERK_API_URL: vestibule.url,
      CLERK_PROXY_URL: vestibule.url,
      NEXT_PUBLIC_CLERK_PROXY_URL: vestibule.url,
      PUBLIC_CLERK_PROXY_URL: vestibule.url,
      CLERK_TELEMETRY_DISABLED: '1',
      NEXT_PUBLIC_CLERK_TELEMETRY_DISABLED: '1',
      NEXT_TELEMETRY_DISABLED: '1',
      ASTRO_TELEMETRY_DISABLED: '1',
      PUBLIC_CLERK_TELEMETRY_DISABLED: '1',
    };
  }

  test('is in the guide as it runs here', () => {
    const guide = readFileSync(join(root, 'docs/provider-tokens.md'), 'utf8');
    for (const [name, file] of Object.entries(shown)) {
      assert.ok(guide.includes(readFileSync(join(folder, file), 'utf8').trim()), `the example for ${name}`);
    }
  });

  for (const [name, start] of Object.entries(frameworks)) {
    test(`in ${name}`, { timeout: 240_000 }, async (t) => {
      const port = await freePort();
      const [dir, args] = start(port);
      let said = '';
      const child = spawn(process.execPath, args, { cwd: join(folder, dir), env: environment(port), detached: true });
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
      t.after(() => {
        try {
          process.kill(-child.pid, 'SIGKILL');
        } catch {
          // It has ended by itself.
        }
        for (const made of ['.next', '.astro', '.react-router']) rmSync(join(folder, dir, made), { recursive: true, force: true });
      });
      const url = `http://localhost:${port}/api/notion`;
      const ask = (headers = {}) => fetch(url, { redirect: 'manual', headers }).catch(() => null);
      const signedOut = await until(`${name} answers`, () => ask(), 120).catch((error) => assert.fail(`${error.message}: ${said}`));
      assert.equal(signedOut.status, 401, said);
      const mint = async (origin) => {
        const url = `${vestibule.url}/v1/client/sessions/${sessionId}/tokens`;
        return (await nora.api('POST', url, { origin })).body.jwt;
      };
      const ofAnotherApp = await ask({ authorization: `Bearer ${await mint(vestibule.url)}` });
      assert.equal(ofAnotherApp.status, 401, 'a token for another origin is none of this app');
      const signedIn = await ask({ authorization: `Bearer ${await mint(`http://localhost:${port}`)}` });
      const text = await signedIn.text();
      assert.equal(signedIn.status, 200, `${text}\n${said}`);
      const people = JSON.parse(text).results.map(({ name }) => name);
      assert.ok(people.includes('Nora'), text);
    });
  }
});
