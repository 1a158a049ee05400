import { auth, clerkClient } from '@clerk/nextjs/server';
import { NextResponse } from 'next/server';

export async function GET() {
  const { isAuthenticated, userId } = await auth();
  if (!isAuthenticated) return NextResponse.json({ message: 'User not authenticated' }, { status: 401 });

  const client = await clerkClient();
  const { data } = await client.users.getUserOauthAccessToken(userId, 'notion');
  const token = data[0]?.token;
  if (!token) return NextResponse.json({ message: 'Access token not found' }, { status: 401 });

  const answer = await fetch('https://api.notion.com/v1/users', {
    headers: { Authorization: `Bearer ${token}`, 'Notion-Version': '2022-06-28' },
  });
  return NextResponse.json(await answer.json());
}
