import { auth, clerkClient } from '@clerk/tanstack-react-start/server';
import { createFileRoute } from '@tanstack/react-router';

export const Route = createFileRoute('/api/notion')({
  server: {
    handlers: {
      GET: async () => {
        const { isAuthenticated, userId } = await auth();
        if (!isAuthenticated) return new Response('User not authenticated', { status: 401 });

        const { data } = await clerkClient().users.getUserOauthAccessToken(userId, 'notion');
        const token = data[0]?.token;
        if (!token) return new Response('Access token not found', { status: 401 });

        const answer = await fetch('https://api.notion.com/v1/users', {
          headers: { Authorization: `Bearer ${token}`, 'Notion-Version': '2022-06-28' },
        });
        return Response.json(await answer.json());
      },
    },
  },
});
