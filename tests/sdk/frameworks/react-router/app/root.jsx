import { clerkMiddleware } from '@clerk/react-router/server';
import { Outlet } from 'react-router';

export const middleware = [clerkMiddleware({ authorizedParties: [process.env.APP_ORIGIN] })];

export default function Root() {
  return (
    <html lang="en">
      <body>
        <Outlet />
      </body>
    </html>
  );
}
