// Just enough of HTML to press a button on a page of ours without a browser.

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

export function decode(text) {
  return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|([a-z]+));/gi, (whole, decimal, hex, name) => {
    if (decimal) return String.fromCodePoint(Number(decimal));
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16));
    return ENTITIES[name] ?? whole;
  });
}

function attributes(tag) {
  const found = {};
  for (const [, name, double, single, bare] of tag.matchAll(/\s([a-z][a-z0-9-]*)(?:=(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/gi)) {
    found[name.toLowerCase()] = decode(double ?? single ?? bare ?? '');
  }
  return found;
}

/** The page's words, tags taken out, blanks folded. */
export function words(html) {
  const visible = html.replace(/<(script|style|head)\b[\s\S]*?<\/\1>/gi, ' ');
  return decode(visible.replace(/<[^>]*>/g, ' ')).replace(/\s+/g, ' ').trim();
}

/** The `data-page` and `data-state` of a page of ours. */
export function place(html) {
  const main = attributes(/<main\b[^>]*>/i.exec(html)?.[0] ?? '');
  return { page: main['data-page'], state: main['data-state'] };
}

/** Where a page sends its reader at once, if it does. */
export function refresh(html) {
  const tag = /<meta\b[^>]*http-equiv="refresh"[^>]*>/i.exec(html)?.[0];
  return tag && /^0;\s*url=(.*)$/i.exec(attributes(tag).content)?.[1];
}

/** The page's forms: where they go, the fields a browser would send, the buttons. */
export function forms(html) {
  return [...html.matchAll(/<form\b[^>]*>([\s\S]*?)<\/form>/gi)].map(([whole, inside]) => {
    const own = attributes(/<form\b[^>]*>/i.exec(whole)[0]);
    const controls = [...inside.matchAll(/<(input|button|select|textarea)\b[^>]*>/gi)].map(([tag, name]) => ({
      tag: name.toLowerCase(),
      ...attributes(tag),
    }));
    return {
      action: own.action ?? '',
      method: (own.method ?? 'get').toUpperCase(),
      fields: controls.filter(sent).map(({ name, value, type }) => [name, value ?? (type === 'checkbox' ? 'on' : '')]),
      buttons: controls.filter(({ tag }) => tag === 'button'),
    };
  });
}

function sent(control) {
  if (control.tag === 'button' || !control.name || control.type === 'submit') return false;
  return control.type !== 'checkbox' && control.type !== 'radio' ? true : 'checked' in control;
}

/** The form that has a button for which `match` is true, with that button. */
export function formWith(html, match) {
  for (const form of forms(html)) {
    const button = form.buttons.find(match);
    if (button) return { ...form, button };
  }
  throw new Error(`no such button on the page: ${words(html).slice(0, 400)}`);
}
