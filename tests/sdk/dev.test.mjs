// `vestibule dev` in an empty directory (operations.md 2.1): what it prints, that it can be stopped in every way, and
// that nothing is lost. Exit codes and their messages are tests of the Rust suite; here only what needs a process.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Person } from './support/person.mjs';
import { Vestibule, emptyDirectory, processesIn, run, until } from './support/vestibule.mjs';

describe('vestibule dev', () => {
  test('says what one needs to know, makes keys once, and keeps everything', async () => {
    const began = Date.now();
    const first = await Vestibule.start();
    assert.ok(Date.now() - began < 15_000, 'a first start takes seconds');
    const lines = first.stdout.trimEnd().split('\n');
    assert.ok(lines.length <= 25, `${lines.length} lines on stdout`);
    assert.match(first.publishableKey, /^pk_live_[0-9A-Za-z]+$/);
    const host = Buffer.from(first.publishableKey.slice('pk_live_'.length), 'base64').toString();
    assert.equal(host, `vestibule.localhost:${new URL(first.url).port}$`);
    assert.match(first.secretKey, /^sk_live_[0-9A-Za-z]{32}$/);
    for (const word of [`${first.url}/sign-in`, `${first.url}/_dev`, first.publishableKey, first.secretKey]) {
      assert.ok(first.stdout.includes(word), `${word} is printed`);
    }
    assert.equal(first.stderr.includes(first.secretKey), false, 'no secret in the log');
    assert.equal(statSync(join(first.dir, '.vestibule/dev.env')).mode & 0o077, 0);

    const person = new Person();
    const back = await person.signIn(`${first.url}/sign-in`, { as: 'kit@example.com' });
    assert.equal(new URL(back.url).pathname, '/user');

    // kill -9 of the whole server: PostgreSQL goes by itself, and nobody has to sign in again.
    const { dir, publishableKey, secretKey, url } = first;
    await first.kill();
    await until('PostgreSQL is gone', () => processesIn(dir).length === 0);
    const second = await Vestibule.start({ dir, args: ['--port', new URL(url).port] });
    assert.deepEqual([second.publishableKey, second.secretKey, second.url], [publishableKey, secretKey, url]);
    assert.equal((await person.open(`${url}/user`)).page, 'user.profile');
    await second.stop();
  });

  test('two at once share one database', async () => {
    const first = await Vestibule.start();
    const second = await Vestibule.start({ dir: first.dir });
    const port = [...second.stdout.matchAll(/http:\/\/localhost:(\d+)/g)].map(([, p]) => p);
    assert.equal(second.secretKey, first.secretKey);
    const before = await first.backend('GET', '/v1/users/count');
    await new Person().signIn(`${first.url}/sign-in`, { as: 'kay@example.com' });
    assert.ok(port.length > 0);
    const after = await first.backend('GET', '/v1/users/count');
    assert.equal(after.body.total_count, before.body.total_count + 1);
    await second.stop({ keep: true }).catch((error) => {
      // The first still runs in the same directory, so its PostgreSQL is expected to be there.
      if (!error.message.includes('no process left behind')) throw error;
    });
    assert.equal((await first.backend('GET', '/v1/users/count')).status, 200);
    await first.stop();
  });

  test('names the port that is taken', async () => {
    const taken = createServer();
    await new Promise((listening) => taken.listen(0, '127.0.0.1', listening));
    const { port } = taken.address();
    const dir = emptyDirectory();
    const result = await run(dir, ['dev', '--port', String(port)]);
    assert.equal(result.code, 1, result.stderr);
    assert.ok(result.stderr.includes(String(port)), result.stderr);
    await until('nothing left behind', () => processesIn(dir).length === 0);
    taken.close();
    rmSync(dir, { recursive: true, force: true });
  });

  test('writes the lines into a file of the app, and spares what is there', async () => {
    const dir = emptyDirectory();
    mkdirSync(join(dir, 'app'));
    const file = join(dir, 'app/.env.local');
    writeFileSync(file, 'MINE=1\n');
    const server = await Vestibule.start({ dir, args: ['--port', '0', '--env-file', file] });
    const text = readFileSync(file, 'utf8');
    assert.match(text, /^MINE=1$/m);
    assert.ok(text.includes(`CLERK_SECRET_KEY=${server.secretKey}`));
    await server.stop();
  });
});
