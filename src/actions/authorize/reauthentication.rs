//! `prompt=login` and `max_age`: the person signs in again although a session exists. The demand travels with the
//! request to the sign-in page and back; its time is signed together with every other parameter, so a browser can
//! neither date it back nor use it for another request.

use crate::actions::authorization_steps;
use crate::context::Ctx;
use crate::crypto::CookieUse;
use crate::model::oauth::parameters::Parameters;
use crate::model::time::Timestamp;

/// The parameter that carries the demand.
const PARAMETER: &str = "__vst_reauthenticate";
/// How long a demand may take to come back, in seconds.
const LIFE: i64 = 3600;

/// The request with the demand to sign in after `now`. A demand that is there already stays: its time counts.
pub(super) fn require_sign_in(ctx: &Ctx, parameters: &Parameters, now: Timestamp) -> Parameters {
    if demanded_at(ctx, parameters, now).is_some() {
        return parameters.clone();
    }
    let bare = parameters.without(PARAMETER);
    let seconds = now.unix_timestamp().to_string();
    let mac = ctx.app.ring.cookie_mac(CookieUse::Reauthentication, &parts(ctx, &seconds, &canonical_form(&bare)));
    bare.with(PARAMETER, &format!("{seconds}.{mac}"))
}

/// When a new sign-in was demanded for exactly this request, if it was.
pub fn demanded_at(ctx: &Ctx, parameters: &Parameters, now: Timestamp) -> Option<Timestamp> {
    let (seconds, mac) = parameters.single(PARAMETER)?.split_once('.')?;
    let bare = canonical_form(&parameters.without(PARAMETER));
    let is_ours = ctx.app.ring.is_cookie_mac(CookieUse::Reauthentication, &parts(ctx, seconds, &bare), mac);
    let moment = Timestamp::from_unix_timestamp(seconds.parse().ok()?).ok()?;
    (is_ours && (now - moment).whole_seconds() < LIFE).then_some(moment)
}

fn parts<'a>(ctx: &'a Ctx, seconds: &'a str, parameters: &'a str) -> [&'a str; 3] {
    [ctx.instance_id().as_str(), seconds, parameters]
}

/// The parameters in one spelling: a consent page may send them back in another order, and without the flow.
fn canonical_form(parameters: &Parameters) -> String {
    let asked = parameters.without(authorization_steps::PARAMETER);
    let mut fields: Vec<_> = asked.iter().collect();
    fields.sort_unstable();
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
