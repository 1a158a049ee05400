//! What this instance allows an identity to mean.

use crate::actions::verification;
use crate::context::Ctx;
use crate::model::defences::Defences;
use crate::model::linking::Policy;

/// The instance's rules of linking.
pub fn policy(ctx: &Ctx) -> Policy {
    let settings = &ctx.instance.settings;
    Policy {
        linking: settings.linking,
        enumeration: settings.enumeration_protection,
        can_verify: can_verify(ctx),
        defences: Defences::ALL,
    }
}

/// True if the instance can have an address verified: by code or link, and with somewhere to send them.
pub fn can_verify(ctx: &Ctx) -> bool {
    let email = &ctx.instance.settings.email;
    (email.code || email.link) && verification::can_send(&ctx.app, &ctx.instance)
}
