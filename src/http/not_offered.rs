//! Paths that the published API descriptions name and this server does not offer: reported as such, so that an SDK
//! raises a clear error instead of a puzzling 404.

/// The published paths, `*` for a parameter (facts of the API descriptions).
const PUBLISHED: &str = include_str!("published_paths.txt");

/// True if the API descriptions know `path`.
pub fn is_published(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    PUBLISHED.lines().any(|template| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == parts.len()
            && template.iter().zip(&parts).all(|(known, part)| known == part || (*known == "*" && !part.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_for_one_part_each() {
        assert!(is_published("/v1/organizations"));
        assert!(is_published("/v1/organizations/org_x/memberships"));
        for path in ["/v1/organizations/", "/v1/organizations//memberships", "/v1/nonsense", "/v1", "/", ""] {
            assert!(!is_published(path), "{path}");
        }
    }
}
