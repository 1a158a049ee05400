import node from '@astrojs/node';
import clerk from '@clerk/astro';
import { defineConfig } from 'astro/config';

export default defineConfig({
  output: 'server',
  adapter: node({ mode: 'standalone' }),
  integrations: [clerk()],
  devToolbar: { enabled: false },
  // The SDK reads import.meta.env, which exists only in modules that Vite has seen.
  vite: { ssr: { noExternal: ['@clerk/astro'] } },
});
