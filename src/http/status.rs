//! The HTTP status of each refusal. The model says what was refused; how that is answered is known here alone.

use http::StatusCode;

use crate::model::problem::{Code, Problem, code};

/// Every code, under the status it is answered with.
const STATUSES: &[(StatusCode, &[Code])] = &[
    (
        StatusCode::BAD_REQUEST,
        &[
            code::ACCOUNT_TRANSFER_INVALID,
            code::API_VERSION_INVALID,
            code::CLIENT_STATE_INVALID,
            code::CUSTOM_OAUTH_PROVIDER_CANNOT_DELETE_ACTIVE,
            code::FORM_PARAM_VALUE_DISABLED,
            code::HOST_INVALID,
            code::IDENTIFICATION_CLAIMED,
            code::IDENTIFICATION_DELETION_FAILED,
            code::INVALID_ACTION_FOR_SESSION,
            code::LAST_REQUIRED_IDENTIFICATION_DELETION_FAILED,
            code::MISCONFIGURED_OAUTH_PROVIDER,
            code::MISSING_QUERY_PARAMETER,
            code::MULTIPLE_ORIGIN_HEADER_VALUES_FORBIDDEN,
            code::NATIVE_API_DISABLED,
            code::OAUTH_ACCOUNT_ALREADY_CONNECTED,
            code::OAUTH_AUTHORIZE_REQUEST_ERROR,
            code::OAUTH_CALLBACK_INVALID,
            code::OAUTH_CONFIG_MISSING,
            code::OAUTH_NON_AUTHENTICATABLE_PROVIDER,
            code::OAUTH_PROVIDER_NOT_ENABLED,
            code::OAUTH_TOKEN_RETRIEVAL_ERROR,
            code::OAUTH_UNSUPPORTED_PROVIDER,
            code::ORIGIN_AUTHORIZATION_HEADERS_CONFLICT,
            code::ORIGIN_INVALID,
            code::ORIGIN_MISSING,
            code::REQUEST_BODY_INVALID,
            code::RESOURCE_MISSMATCH,
            code::SESSION_EXISTS,
            code::SESSION_REVERIFICATION_MISSING,
            code::SIGN_IN_IDENTIFICATION_OR_USER_DELETED,
            code::STRATEGY_FOR_USER_INVALID,
            code::VERIFICATION_ALREADY_VERIFIED,
            code::VERIFICATION_EXPIRED,
            code::VERIFICATION_FAILED,
            code::VERIFICATION_LINK_TOKEN_EXPIRED,
            code::VERIFICATION_LINK_TOKEN_INVALID,
            code::VERIFICATION_LINK_TOKEN_STALE,
            code::VERIFICATION_MISSING,
            code::VERIFICATION_STRATEGY_INVALID,
        ],
    ),
    (
        StatusCode::UNAUTHORIZED,
        &[
            code::AUTHENTICATION_INVALID,
            code::AUTHORIZATION_HEADER_FORMAT_INVALID,
            code::CLERK_KEY_INVALID,
            code::SIGNED_OUT,
        ],
    ),
    (
        StatusCode::FORBIDDEN,
        &[
            code::FEATURE_NOT_ENABLED,
            code::FORM_INVALID,
            code::NOT_ALLOWED_ACCESS,
            code::RESOURCE_FORBIDDEN,
            code::SESSION_REVERIFICATION_REQUIRED,
            code::SIGN_UP_MODE_RESTRICTED,
            code::SIGN_UP_RESTRICTED_WAITLIST,
            code::SIGN_IN_EMAIL_LINK_NOT_SAME_CLIENT,
            code::SIGN_UP_EMAIL_LINK_NOT_SAME_CLIENT,
            code::USER_BANNED,
            code::USER_LOCKED,
            code::USER_QUOTA_EXCEEDED,
        ],
    ),
    (
        StatusCode::NOT_FOUND,
        &[
            code::EXTERNAL_ACCOUNT_NOT_FOUND,
            code::OAUTH_TOKEN_PROVIDER_NOT_ENABLED,
            code::RESOURCE_NOT_FOUND,
            code::SIGN_UP_IF_MISSING_TRANSFER,
        ],
    ),
    (StatusCode::METHOD_NOT_ALLOWED, &[code::METHOD_NOT_ALLOWED]),
    (StatusCode::REQUEST_TIMEOUT, &[code::REQUEST_BODY_TOO_SLOW]),
    (StatusCode::CONFLICT, &[code::RESOURCE_LOCKED]),
    (StatusCode::PAYLOAD_TOO_LARGE, &[code::REQUEST_BODY_TOO_LARGE]),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, &[code::UNSUPPORTED_CONTENT_TYPE]),
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        &[
            code::ACCOUNT_LOCKOUT_WARNING,
            code::CUSTOM_OAUTH_PROVIDER_CANNOT_USE_DISCOVERY_URL,
            code::CUSTOM_OAUTH_PROVIDER_DISCOVERY_ISSUER_MISMATCH,
            code::CUSTOM_OAUTH_PROVIDER_DISCOVERY_SERVER_RETRIEVAL_ERROR,
            code::FEATURE_REQUIRES_OAUTH2_CONSENT_SCREEN_ENABLED,
            code::FORM_CODE_INCORRECT,
            code::FORM_IDENTIFIER_EXISTS,
            code::FORM_IDENTIFIER_NOT_FOUND,
            code::FORM_NEW_PASSWORD_MATCHES_CURRENT,
            code::FORM_PASSWORD_INCORRECT,
            code::FORM_PASSWORD_LENGTH_TOO_LONG,
            code::FORM_PASSWORD_LENGTH_TOO_SHORT,
            code::FORM_PASSWORD_MATCHES_IDENTIFIER,
            code::FORM_PASSWORD_PWNED,
            code::FORM_PARAM_EXCEEDS_ALLOWED_SIZE,
            code::FORM_PARAM_FORMAT_INVALID,
            code::FORM_PARAM_MISSING,
            code::FORM_PARAM_UNKNOWN,
            code::FORM_PARAM_VALUE_INVALID,
            code::FORM_PARAM_VALUE_TOO_LARGE,
            code::FORM_PARAM_DUPLICATE,
            code::FORM_ALREADY_EXISTS,
            code::FORM_USERNAME_CANNOT_BE_PHONE_NUMBER,
            code::FORM_USERNAME_INVALID_CHARACTER,
            code::FORM_USERNAME_INVALID_LENGTH,
            code::FORM_USERNAME_NEEDS_NON_NUMBER_CHAR,
            code::INSECURE_URL,
            code::INVALID_REDIRECT_URL,
            code::INVALID_URL_SCHEME,
            code::OAUTH_MISSING_ACCESS_TOKEN,
            code::OAUTH_MISSING_REFRESH_TOKEN,
            code::PROHIBITED_REDIRECT_URL,
            code::REDIRECT_URL_DOMAIN_MISMATCH,
            code::REDIRECT_URL_TOO_LONG,
            code::SIGN_UP_IF_MISSING_NOT_ALLOWED,
            code::SIGN_UP_IF_MISSING_STRATEGY_NOT_SUPPORTED,
        ],
    ),
    (StatusCode::TOO_MANY_REQUESTS, &[code::TOO_MANY_REQUESTS, code::VERIFICATION_CODE_TOO_MANY_REQUESTS]),
    (StatusCode::INTERNAL_SERVER_ERROR, &[code::INTERNAL_CLERK_ERROR]),
    (StatusCode::SERVICE_UNAVAILABLE, &[code::SERVICE_UNAVAILABLE]),
];

/// The status of a code.
pub fn of(code: Code) -> StatusCode {
    let row = STATUSES.iter().find(|(_, codes)| codes.contains(&code));
    row.map_or(StatusCode::INTERNAL_SERVER_ERROR, |(status, _)| *status)
}

/// The status of a refusal: that of its first error.
pub fn of_problem(problem: &Problem) -> StatusCode {
    of(problem.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_forms_and_of_tokens_keep_their_statuses() {
        assert_eq!(of(code::FORM_PASSWORD_PWNED), 422);
        assert_eq!(of(code::FORM_PASSWORD_LENGTH_TOO_SHORT), 422);
        assert_eq!(of(code::FORM_PASSWORD_LENGTH_TOO_LONG), 422);
        assert_eq!(of(code::FORM_PASSWORD_MATCHES_IDENTIFIER), 422);
        assert_eq!(of(code::OAUTH_MISSING_REFRESH_TOKEN), 422);
        assert_eq!(of(code::OAUTH_MISSING_ACCESS_TOKEN), 422);
        assert_eq!(of(code::OAUTH_TOKEN_RETRIEVAL_ERROR), 400);
    }

    #[test]
    fn every_code_has_one_status() {
        for code in code::ALL {
            let rows = STATUSES.iter().flat_map(|(_, codes)| *codes).filter(|listed| *listed == code);
            assert_eq!(rows.count(), 1, "{}", code.name);
        }
    }
}
