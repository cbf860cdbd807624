//! The bytes of an object to be written, in the pieces they were made in: a pack is put without being copied together.

use bytes::Bytes;

/// The content of one PUT.
#[derive(Debug, Clone, Default)]
pub struct Payload(Vec<Bytes>);

impl Payload {
    /// Append a piece.
    pub fn push(&mut self, piece: impl Into<Bytes>) {
        self.0.push(piece.into());
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.0
    }

    /// All of it in one piece; copied unless it is one.
    pub fn to_bytes(&self) -> Bytes {
        match &self.0[..] {
            [one] => one.clone(),
            pieces => pieces.concat().into(),
        }
    }
}

impl PartialEq<[u8]> for Payload {
    fn eq(&self, mut other: &[u8]) -> bool {
        for piece in &self.0 {
            match other.split_at_checked(piece.len()) {
                Some((head, rest)) if head == piece => other = rest,
                _ => return false,
            }
        }
        other.is_empty()
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Payload(vec![bytes.into()])
    }
}
