import { clerkMiddleware, createClerkClient, getAuth } from '@clerk/express';
import express from 'express';

const clerk = createClerkClient({ secretKey: process.env.CLERK_SECRET_KEY, apiUrl: process.env.CLERK_API_URL });
const app = express();
app.use(clerkMiddleware({ authorizedParties: [process.env.APP_ORIGIN] }));

app.get('/api/notion', async (req, res) => {
  const { isAuthenticated, userId } = getAuth(req);
  if (!isAuthenticated) return res.status(401).json({ error: 'User not authenticated' });

  const { data } = await clerk.users.getUserOauthAccessToken(userId, 'notion');
  const token = data[0]?.token;
  if (!token) return res.status(401).json({ error: 'Access token not found' });

  const answer = await fetch('https://api.notion.com/v1/users', {
    headers: { Authorization: `Bearer ${token}`, 'Notion-Version': '2022-06-28' },
  });
  res.json(await answer.json());
});

app.listen(process.env.PORT, 'localhost');
