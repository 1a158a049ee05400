import { clerkClient } from '@clerk/astro/server';

export async function GET(context) {
  const { isAuthenticated, userId } = context.locals.auth();
  if (!isAuthenticated) return new Response('Unauthorized', { status: 401 });

  const { data } = await clerkClient(context).users.getUserOauthAccessToken(userId, 'notion');
  const token = data[0]?.token;
  if (!token) return new Response('Access token not found', { status: 401 });

  const answer = await fetch('https://api.notion.com/v1/users', {
    headers: { Authorization: `Bearer ${token}`, 'Notion-Version': '2022-06-28' },
  });
  return Response.json(await answer.json());
}
