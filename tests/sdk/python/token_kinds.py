"""What the server SDK for Python takes for a signed-in person. Reads the tokens and what an app's server is configured with
as JSON, and prints for each place and kind of token what came of it."""

import json
import sys
from types import SimpleNamespace

from clerk_backend_api.security.authenticaterequest import authenticate_request
from clerk_backend_api.security.types import AuthenticateRequestOptions, VerifyTokenOptions
from clerk_backend_api.security.verifytoken import TokenVerificationError, verify_token

given = json.load(sys.stdin)
parties = [given["party"]]


def request(headers, **options):
    state = authenticate_request(SimpleNamespace(headers=headers), AuthenticateRequestOptions(**options))
    return "taken" if state.is_signed_in else state.reason.value[0]


def verify(token, **options):
    try:
        verify_token(token, VerifyTokenOptions(**options))
        return "taken"
    except TokenVerificationError as error:
        return error.reason.value[0]


# authenticate_request has no address of its own: it works with a pinned key, or with Clerk's servers.
PLACES = {
    "python_header": lambda token: request({"Authorization": f"Bearer {token}"}, jwt_key=given["pem"]),
    "python_cookie": lambda token: request({"cookie": f"__session={token}"}, jwt_key=given["pem"]),
    "python_parties": lambda token: request(
        {"Authorization": f"Bearer {token}"}, jwt_key=given["pem"], authorized_parties=parties
    ),
    "python_verify": lambda token: verify(token, secret_key=given["secretKey"], api_url=given["url"]),
    "python_verify_parties": lambda token: verify(
        token, secret_key=given["secretKey"], api_url=given["url"], authorized_parties=parties
    ),
    "python_verify_pem": lambda token: verify(token, jwt_key=given["pem"]),
}

print(json.dumps({place: {kind: look(token) for kind, token in given["tokens"].items()} for place, look in PLACES.items()}))
