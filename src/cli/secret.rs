//! Reading a secret: from a file, from stdin (`-`), never from an argument, which every user of the machine can see.

use std::io::Read;
use std::path::Path;

use super::failure::Failure;
use crate::crypto::Secret;

/// The content of `path`, or of stdin for `-`, without its last line break. Not empty.
pub fn read(path: &Path) -> Result<Secret, Failure> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
        read.map_err(|error| Failure::failed(format!("cannot read the secret from stdin: {error}")))?;
        text
    } else {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?
    };
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(Failure::failed("the secret is empty"));
    }
    if text.trim() != text || text.contains('\n') {
        return Err(Failure::failed(
            "the secret has blanks around it or line breaks in it; it was probably pasted wrongly",
        ));
    }
    Ok(text.to_owned().into())
}
