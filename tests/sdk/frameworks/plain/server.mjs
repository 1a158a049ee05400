import { createServer } from 'node:http';
import { createClerkClient } from '@clerk/backend';

const clerk = createClerkClient({
  secretKey: process.env.CLERK_SECRET_KEY,
  publishableKey: process.env.CLERK_PUBLISHABLE_KEY,
  apiUrl: process.env.CLERK_API_URL,
});

async function notion(request) {
  const { isAuthenticated, userId } = request.auth;
  if (!isAuthenticated) return Response.json({ error: 'Unauthorized' }, { status: 401 });

  const { data } = await clerk.users.getUserOauthAccessToken(userId, 'notion');
  const token = data[0]?.token;
  if (!token) return Response.json({ error: 'Access token not found' }, { status: 401 });

  return fetch('https://api.notion.com/v1/users', {
    headers: { Authorization: `Bearer ${token}`, 'Notion-Version': '2022-06-28' },
  });
}

createServer(async (incoming, outgoing) => {
  const request = new Request(new URL(incoming.url, 'http://localhost'), { headers: incoming.headers });
  const { CLERK_PROXY_URL, APP_ORIGIN } = process.env;
  const state = await clerk.authenticateRequest(request, { proxyUrl: CLERK_PROXY_URL, authorizedParties: [APP_ORIGIN] });
  request.auth = state.toAuth();
  const answer = await notion(request);
  outgoing.writeHead(answer.status, { 'content-type': 'application/json' });
  outgoing.end(await answer.text());
}).listen(process.env.PORT, 'localhost');
