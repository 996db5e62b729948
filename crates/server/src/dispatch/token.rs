//! Completion tokens: which server, which life of it, which item, and which of the times that it was handed out.

use std::fmt;
use std::str::FromStr;

use everdure_core::NodeId;

/// What a worker sends back with its answer. It stays good when the stream has ended, for as long as nobody else has
/// answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The node that handed the item out.
    pub node: NodeId,
    /// The life of the server's process.
    pub life: u64,
    /// The item.
    pub item: u64,
    /// How often it has been handed out.
    pub handout: u32,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}.{:x}.{:x}", self.node, self.life, self.item, self.handout)
    }
}

impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(4, '.');
        let mut next = || parts.next().ok_or(());
        let node = NodeId(next()?.parse().map_err(|_| ())?);
        let life = u64::from_str_radix(next()?, 16).map_err(|_| ())?;
        let item = u64::from_str_radix(next()?, 16).map_err(|_| ())?;
        let handout = u32::from_str_radix(next()?, 16).map_err(|_| ())?;
        Ok(Self { node, life, item, handout })
    }
}

#[cfg(test)]
mod tests {
    use super::{NodeId, Token};

    #[test]
    fn a_token_reads_what_it_writes_and_refuses_the_rest() {
        let token = Token { node: NodeId(7), life: u64::MAX, item: 255, handout: 16 };
        assert_eq!(token.to_string().parse(), Ok(token));
        for bad in ["", "7", "7.1", "7.1.1", "7.x.1.1", "7.1.1.x", "7.1.1.1.1", "a.1.1.1"] {
            assert_eq!(bad.parse::<Token>(), Err(()), "{bad}");
        }
    }
}
