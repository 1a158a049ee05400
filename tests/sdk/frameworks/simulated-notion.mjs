// Preloaded into each app (`node --import`): the examples keep Notion's real address, which the simulation answers under a
// base of its own (NOTION_BASE). Nothing else is touched.
const real = 'https://api.notion.com/';
const base = process.env.NOTION_BASE;
const fetched = globalThis.fetch;
if (base) {
  globalThis.fetch = (input, init) =>
    fetched(typeof input === 'string' && input.startsWith(real) ? `${base}/${input.slice(real.length)}` : input, init);
}
