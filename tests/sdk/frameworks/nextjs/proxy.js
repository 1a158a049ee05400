import { clerkMiddleware } from '@clerk/nextjs/server';

export default clerkMiddleware({ authorizedParties: [process.env.APP_ORIGIN] });

export const config = { matcher: ['/api/(.*)'] };
