// A person with a browser that knows cookies, forms and redirects, and nothing else: no script, no following of its
// own accord. What a test must see on the wire stays visible.
import { formWith, place, refresh, words } from './html.mjs';

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export class Person {
  /** host name → cookie name → value. Cookies ignore ports. */
  #jar = new Map();

  /** Every body this person was given, for tests that look for what must not be there. */
  seen = [];

  cookies(url) {
    return Object.fromEntries(this.#jar.get(new URL(url).hostname) ?? []);
  }

  /** One request. `form` is sent form-encoded. */
  async send(method, url, { headers = {}, form } = {}) {
    const jar = this.#jar.get(new URL(url).hostname) ?? new Map();
    this.#jar.set(new URL(url).hostname, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(url, {
      method,
      redirect: 'manual',
      headers: { accept: 'text/html,application/xhtml+xml', ...(cookie && { cookie }), ...headers },
      body: form && new URLSearchParams(form),
    });
    for (const line of answer.headers.getSetCookie()) keep(jar, line);
    const text = await answer.text();
    this.seen.push(text, [...answer.headers].join('\n'));
    return { url, status: answer.status, headers: answer.headers, text, ...place(text) };
  }

  get(url, options) {
    return this.send('GET', url, options);
  }

  /** A form-encoded request as the browser SDK makes it from a page at `origin`, read as JSON. */
  async api(method, url, { origin = new URL(url).origin, form } = {}) {
    const address = new URL(url);
    address.searchParams.set('__clerk_api_version', '2026-05-12');
    if (method !== 'GET' && method !== 'POST') address.searchParams.set('_method', method);
    const headers = { accept: '*/*', origin };
    const verb = method === 'GET' ? 'GET' : 'POST';
    const answer = await this.send(verb, address.href, { headers, form: verb === 'POST' ? (form ?? {}) : undefined });
    return { ...answer, body: answer.text ? JSON.parse(answer.text) : null };
  }

  /**
   * Follows redirects, also those that a page makes at once, until an answer is none, or would leave for an address for
   * which `stop` is true.
   */
  async follow(answer, stop = () => false) {
    const hops = [];
    for (;;) {
      const onward = REDIRECTS.has(answer.status) ? answer.headers.get('location') : refresh(answer.text);
      if (!onward) return { ...answer, hops };
      const next = new URL(onward, answer.url).href;
      hops.push(next);
      if (hops.length > 20) throw new Error(`redirected in a circle:\n${hops.join('\n')}`);
      if (stop(next)) return { ...answer, left: next, hops };
      answer = await this.get(next);
    }
  }

  /** Opens an address and follows. */
  async open(url, stop) {
    return this.follow(await this.get(url), stop);
  }

  /** Presses the button for which `match` is true on a page of ours, with the page's fields and some of the caller's. */
  press(page, match, fields = {}) {
    const { action, method, fields: own, button } = formWith(page.text, match);
    const values = Object.fromEntries([...own, ...(button.name ? [[button.name, button.value ?? '']] : [])]);
    const target = new URL(button.formaction || action || page.url, page.url);
    const form = { ...values, ...fields };
    const headers = { origin: new URL(page.url).origin, 'sec-fetch-site': 'same-origin' };
    if (method === 'POST') return this.send('POST', target.href, { form, headers });
    target.search = new URLSearchParams(form);
    return this.get(target.href);
  }

  /**
   * Signs in on the hosted page with a simulated provider that approves at once, and comes back.
   * `at` is the sign-in page, with its query.
   */
  async signIn(at, { provider = 'google', as, stop = () => false }) {
    const page = await this.open(at);
    if (page.page !== 'sign-in.start') throw new Error(`no sign-in page at ${page.url}: ${page.status} ${words(page.text)}`);
    const sent = await this.press(page, (button) => button.id === `provider-${provider}`);
    return this.approve(sent.headers.get('location'), { as, stop });
  }

  /** Follows a provider's authorization address as the person `as`, without the simulator's page. */
  async approve(address, { as, stop = () => false }) {
    const url = new URL(address);
    url.searchParams.set('login_hint', as);
    url.searchParams.set('auto', '1');
    return this.open(url.href, stop);
  }
}

function keep(jar, line) {
  const [pair, ...rest] = line.split(';');
  const [name, value] = [pair.slice(0, pair.indexOf('=')).trim(), pair.slice(pair.indexOf('=') + 1).trim()];
  const attributes = rest.map((part) => part.trim().toLowerCase());
  const gone = attributes.some((a) => a === 'max-age=0' || (a.startsWith('expires=') && Date.parse(a.slice(8)) < Date.now()));
  if (gone) jar.delete(name);
  else jar.set(name, value);
}
