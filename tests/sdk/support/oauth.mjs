// Pieces of an OAuth client's way through a browser, for suites that use openid-client.
import * as oidc from 'openid-client';

/** Discovery as a client does it; plain http because the issuer is on loopback. */
export function discover(issuer, clientId, secret) {
  const authentication = secret ? oidc.ClientSecretBasic(secret) : oidc.None();
  return oidc.discovery(new URL(issuer), clientId, secret, authentication, { execute: [oidc.allowInsecureRequests] });
}

/** A new authorization request with PKCE, `state` and `nonce`: what the client must remember, and where to go. */
export async function authorization(config, parameters) {
  const verifier = oidc.randomPKCECodeVerifier();
  const checks = { pkceCodeVerifier: verifier, expectedState: oidc.randomState() };
  if (/\bopenid\b/.test(parameters.scope)) checks.expectedNonce = oidc.randomNonce();
  const url = oidc.buildAuthorizationUrl(config, {
    ...parameters,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state: checks.expectedState,
    ...(checks.expectedNonce && { nonce: checks.expectedNonce }),
  });
  return { url: url.href, checks };
}
