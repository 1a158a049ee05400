import { clerkMiddleware } from '@clerk/astro/server';

export const onRequest = clerkMiddleware({ authorizedParties: [process.env.APP_ORIGIN] });
