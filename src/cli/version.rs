//! `vestibule version`.

use serde::Serialize;

use super::Global;
use super::failure::Failure;
use super::show;
use crate::store::MIGRATOR;

#[derive(Serialize)]
struct Version {
    version: &'static str,
    commit: Option<&'static str>,
    schema: i64,
    build_date: Option<&'static str>,
}

/// Shows what this binary is.
pub fn run(global: &Global) -> Result<(), Failure> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("VESTIBULE_COMMIT"),
        schema: MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0),
        build_date: option_env!("VESTIBULE_BUILD_DATE"),
    };
    show::answer(global, &version, || {
        let mut lines = vec![format!("vestibule {}", version.version), format!("schema    {}", version.schema)];
        lines.extend(version.commit.map(|commit| format!("commit    {commit}")));
        lines.extend(version.build_date.map(|date| format!("built     {date}")));
        lines
    })
}
