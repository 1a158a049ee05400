// `vestibule dev` as a developer lives with it. Starts, exit codes, files and replicas are tested in
// tests/it/cli; here, that a person stays signed in when everything is killed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person } from './support/person.mjs';
import { Vestibule, processesIn, until } from './support/vestibule.mjs';

test('vestibule dev keeps keys and sessions when it is killed', async () => {
  const first = await Vestibule.start();
  const { dir, publishableKey, secretKey, url } = first;
  const host = Buffer.from(publishableKey.slice('pk_live_'.length), 'base64').toString();
  assert.equal(host, `vestibule.localhost:${new URL(url).port}$`);
  assert.equal(first.stderr.includes(secretKey), false, 'no secret in the log');

  const person = new Person();
  const back = await person.signIn(`${url}/sign-in`, { as: 'kit@example.com' });
  assert.equal(new URL(back.url).pathname, '/user');

  await first.kill();
  await until('PostgreSQL is gone', () => processesIn(dir).length === 0);
  const second = await Vestibule.start({ dir, args: ['--port', new URL(url).port] });
  assert.deepEqual([second.publishableKey, second.secretKey, second.url], [publishableKey, secretKey, url]);
  assert.equal((await person.open(`${url}/user`)).page, 'user.profile');
  await second.stop();
});
