import { clerkClient, getAuth } from '@clerk/react-router/server';

export async function loader(args) {
  const { isAuthenticated, userId } = await getAuth(args);
  if (!isAuthenticated) return new Response('User not authenticated', { status: 401 });

  const { data } = await clerkClient(args).users.getUserOauthAccessToken(userId, 'notion');
  const token = data[0]?.token;
  if (!token) return new Response('Access token not found', { status: 401 });

  const answer = await fetch('https://api.notion.com/v1/users', {
    headers: { Authorization: `Bearer ${token}`, 'Notion-Version': '2022-06-28' },
  });
  return Response.json(await answer.json());
}
