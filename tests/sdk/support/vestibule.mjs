// Starts the built binary the way a developer does: `vestibule dev` in an empty directory, nothing configured.
// Every suite has a server, a database and keys of its own, and leaves nothing running.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

/** The binary under test: `VESTIBULE_BIN`, else the debug build. */
export const binary = resolve(process.env.VESTIBULE_BIN ?? join(root, 'target/debug/vestibule'));

/** A new empty directory. PostgreSQL runs as another account when we are root, which must be able to pass through. */
export function emptyDirectory() {
  const dir = mkdtempSync(join(tmpdir(), 'vestibule-sdk-'));
  chmodSync(dir, 0o711);
  return dir;
}

/** What a child sees: nothing of ours that would configure it. */
function environment(extra) {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'XDG_CACHE_HOME', 'VESTIBULE_PG_BIN', 'VESTIBULE_PG_FETCH'];
  const env = Object.fromEntries(kept.filter((name) => process.env[name]).map((name) => [name, process.env[name]]));
  return { ...env, ...extra };
}

/** Runs a command of the binary to its end. `input` goes to its standard input, which is closed then. */
export function run(dir, args, { input = '', env = {} } = {}) {
  return new Promise((done, failed) => {
    const child = spawn(binary, args, { cwd: dir, env: environment(env) });
    const result = { stdout: '', stderr: '', code: null };
    child.stdout.on('data', (chunk) => (result.stdout += chunk));
    child.stderr.on('data', (chunk) => (result.stderr += chunk));
    child.on('error', failed);
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('close', (code) => done({ ...result, code }));
  });
}

/** Pids of processes whose working directory lies in `dir`; every PostgreSQL backend's does. */
export function processesIn(dir) {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`).startsWith(`${dir}/`);
    } catch {
      return false;
    }
  });
}

/** Waits until `condition` holds, asking every 20 ms; fails with `what` after `seconds`. */
export async function until(what, condition, seconds = 10) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

/** A running `vestibule dev`. */
export class Vestibule {
  /** Starts one and waits until it is ready. `dir` may be a directory of an earlier start. */
  static async start({ dir = emptyDirectory(), args = ['--port', '0'], env = {} } = {}) {
    if (!existsSync(binary)) throw new Error(`${binary} does not exist: cargo build first`);
    const server = new Vestibule(dir, args, env);
    try {
      await until('ready', () => server.#ready(), 60);
    } catch (error) {
      await server.kill();
      throw new Error(`${error.message}\n--- stdout\n${server.stdout}\n--- stderr\n${server.stderr}`);
    }
    return server;
  }

  constructor(dir, args, env) {
    this.dir = dir;
    this.stdout = '';
    this.stderr = '';
    this.child = spawn(binary, ['dev', ...args], { cwd: dir, env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.on('data', (chunk) => (this.stdout += chunk));
    this.child.stderr.on('data', (chunk) => (this.stderr += chunk));
    this.ended = new Promise((done) => this.child.on('close', (code, signal) => done({ code, signal })));
    this.ended.then((end) => (this.end = end));
  }

  /** The environment lines for an app (`.vestibule/dev.env`). */
  get env() {
    const text = readFileSync(join(this.dir, '.vestibule/dev.env'), 'utf8');
    const pairs = text.split('\n').map((line) => /^(?:export )?([A-Z_]+)=(.*)$/.exec(line.trim()));
    const unquote = (value) => value.replace(/^(["'])(.*)\1$/, '$2');
    return Object.fromEntries(pairs.filter(Boolean).map(([, name, value]) => [name, unquote(value)]));
  }

  get url() {
    return this.env.CLERK_API_URL;
  }

  get secretKey() {
    return this.env.CLERK_SECRET_KEY;
  }

  get publishableKey() {
    return this.env.CLERK_PUBLISHABLE_KEY;
  }

  async #ready() {
    if (this.end) throw new Error(`ended with ${JSON.stringify(this.end)}`);
    // The lines are printed after the listener is bound; the file may be there from an earlier start.
    if (!this.stdout.includes('CLERK_SECRET_KEY')) return false;
    const answer = await fetch(`${this.url}/readyz`).catch(() => null);
    return answer?.status === 200;
  }

  /** Runs another command of the binary beside this one. */
  run(args, options) {
    return run(this.dir, args, options);
  }

  /** A call of the backend API with the secret key. */
  async backend(method, path, body) {
    const headers = { authorization: `Bearer ${this.secretKey}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const answer = await fetch(this.url + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: text ? JSON.parse(text) : null };
  }

  /** Ends it as a terminal or a container would, and checks that PostgreSQL ended with it. */
  async stop({ keep = false } = {}) {
    this.child.kill('SIGTERM');
    const end = await this.ended;
    await until('no process left behind', () => processesIn(this.dir).length === 0);
    if (!keep) rmSync(this.dir, { recursive: true, force: true });
    if (end.code !== 0) throw new Error(`ended with ${JSON.stringify(end)}\n${this.stderr}`);
  }

  /** `kill -9`. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
