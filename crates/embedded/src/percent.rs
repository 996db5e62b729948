//! Percent-encoding, for names that go into a connection URL.

/// Encodes all but RFC 3986's unreserved characters.
pub(crate) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_plain_names_and_encodes_the_rest() {
        assert_eq!(super::encode("everdure_test-1"), "everdure_test-1");
        assert_eq!(super::encode("a b/ü"), "a%20b%2F%C3%BC");
    }
}
