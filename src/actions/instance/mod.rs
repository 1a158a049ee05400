//! Instances: made with their keys, hosts and (on development instances) simulated providers; given further secret
//! keys; moved to another address. Everything that changes one is announced to every replica, and leaves an audit event
//! that names who did it. Never shows a secret key twice: it is in the answer and nowhere else.

mod change;
mod create;
mod new;
mod origins;
mod settings;

pub use change::{add_secret_key, move_to};
pub use create::{Created, create};
pub use new::{CreateError, NewInstance};
pub use origins::{OriginError, allow_origin, drop_origin};
pub use settings::{ChangeError, change_settings};
