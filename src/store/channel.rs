//! The channels on which replicas tell each other news.

use crate::model::text_enum::text_enum;

text_enum! {
    /// A channel of `NOTIFY`.
    pub enum Channel {
        /// Something changed in instances, hosts, keys or providers.
        Directory = "vestibule_directory",
        /// A refresh of a provider token ended; the payload is the account's id.
        ProviderToken = "vestibule_provider_token",
    }
}
