// Runs a script of tests/sdk/python with the packages of its requirements.txt, which are installed once per state of that
// file into a folder of the tests' own.
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './vestibule.mjs';

const folder = join(root, 'tests/sdk/python');
const execute = promisify(execFile);

/** The interpreter that has the packages. Needs python3 with venv, which `.ci/run` installs. */
async function interpreter() {
  const requirements = join(folder, 'requirements.txt');
  const { stdout: version } = await execute('python3', ['-c', 'import sys; print(sys.executable, sys.version)']);
  const hash = createHash('sha256').update(readFileSync(requirements)).update(version).digest('hex').slice(0, 12);
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'vestibule');
  const home = join(cache, `python-${hash}`);
  const python = join(home, 'bin/python');
  // Written last: an installation that was cut off does not count.
  const ready = join(home, 'ready');
  if (existsSync(ready)) return python;
  mkdirSync(cache, { recursive: true });
  rmSync(home, { recursive: true, force: true });
  await execute('python3', ['-m', 'venv', home]);
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '-r', requirements];
  await execute(python, pip, { timeout: 240_000 });
  writeFileSync(ready, '');
  return python;
}

/** Runs a script with `input` as JSON on its standard input, and reads its output as JSON. */
export async function python(script, input) {
  const child = spawn(await interpreter(), [join(folder, script)], { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stdin.end(JSON.stringify(input));
  const code = await new Promise((done, failed) => child.on('close', done).on('error', failed));
  if (code !== 0) throw new Error(`${script} ended with ${code}`);
  return JSON.parse(output);
}
