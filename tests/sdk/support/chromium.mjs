// A headless Chromium whose every complaint fails the test: console errors, uncaught exceptions, violations of a
// content security policy, requests that leave the machine.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { root } from './vestibule.mjs';

const FOUND = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const screenshots = join(root, 'target/screenshots');

/** Starts the browser of the machine: `CHROMIUM`, else where distributions put it. Without one the suite fails. */
export function launch() {
  const executablePath = process.env.CHROMIUM ?? FOUND.find(existsSync);
  assert.ok(executablePath, 'no Chromium found: apt-get install chromium, or set CHROMIUM');
  const quiet = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
  return chromium.launch({
    executablePath,
    args: [...quiet, '--no-sandbox', '--disable-component-update', '--disable-sync'],
  });
}

/** A fresh profile with one page. `check()` at the end of a test fails on everything the browser complained about. */
export class Visit {
  static async open(browser, options = {}) {
    const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1024, height: 768 }, reducedMotion: 'reduce', ...options });
    const visit = new Visit(context, await context.newPage());
    await context.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) => console.error(`CSP ${event.violatedDirective} ${event.blockedURI}`));
    });
    return visit;
  }

  constructor(context, page) {
    Object.assign(this, { context, page, complaints: [], visited: [] });
    page.setDefaultTimeout(15_000);
    page.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(`${page.url()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.complaints.push(`${page.url()}: ${error.message}`));
    page.on('request', (request) => {
      const { protocol, hostname } = new URL(request.url());
      const stays = protocol === 'data:' || hostname === 'localhost' || hostname === '127.0.0.1';
      if (!stays) this.complaints.push(`a request left the machine: ${request.url()}`);
    });
    page.on('framenavigated', (frame) => {
      if (frame === page.mainFrame()) this.visited.push(frame.url());
    });
  }

  /** `data-page` of the page that is shown, for pages of ours. */
  place() {
    return this.page.locator('main').getAttribute('data-page');
  }

  /** Waits for the page of ours with this `data-page`. */
  at(place) {
    return this.page.waitForSelector(`main[data-page="${place}"]`);
  }

  /** Keeps a picture under target/screenshots/, and checks that the page does not scroll sideways. */
  async shot(name) {
    mkdirSync(screenshots, { recursive: true });
    await this.page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
    const sideways = () => document.documentElement.scrollWidth > window.innerWidth;
    if (await this.page.evaluate(sideways).catch(() => false)) this.complaints.push(`${name} scrolls sideways`);
  }

  /** The pictures of a page as it is shown on a phone and in the dark. */
  async shots(name) {
    await this.shot(name);
    await this.page.setViewportSize({ width: 320, height: 640 });
    await this.page.emulateMedia({ colorScheme: 'dark' });
    await this.shot(`${name}-narrow-dark`);
    await this.page.emulateMedia({ colorScheme: 'light' });
    await this.page.setViewportSize({ width: 1024, height: 768 });
  }

  /** Complaints the test provoked on purpose. */
  forgive(pattern) {
    this.complaints = this.complaints.filter((complaint) => !pattern.test(complaint));
  }

  async end() {
    await this.context.close();
    assert.deepEqual(this.complaints, []);
  }
}
