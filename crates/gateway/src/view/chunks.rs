//! A list that grows by pieces of one size and moves nothing when it does.
//!
//! A vector that doubles needs three times its size while it moves, and leaves holes that fit nobody. Here what
//! is allocated is what is held, and a last piece.

/// How many are in a piece.
const PIECE: usize = 4096;

/// The list.
#[derive(Debug)]
pub struct Chunks<T> {
    pieces: Vec<Box<[T]>>,
    filler: T,
}

impl<T: Copy> Chunks<T> {
    /// An empty one, whose places hold `filler` before they are set.
    pub const fn new(filler: T) -> Self {
        Self {
            pieces: Vec::new(),
            filler,
        }
    }

    /// What is at a place. There is the filler wherever nothing was set.
    pub fn get(&self, at: u32) -> T {
        let (piece, within) = place(at);
        let found = self.pieces.get(piece).and_then(|piece| piece.get(within));
        found.copied().unwrap_or(self.filler)
    }

    /// Sets what is at a place, and makes room up to there.
    pub fn set(&mut self, at: u32, value: T) {
        let (piece, within) = place(at);
        while self.pieces.len() <= piece {
            self.pieces
                .push(vec![self.filler; PIECE].into_boxed_slice());
        }
        let place = self
            .pieces
            .get_mut(piece)
            .and_then(|piece| piece.get_mut(within));
        if let Some(place) = place {
            *place = value;
        }
    }

    /// Puts the filler everywhere, and keeps the room.
    pub fn clear(&mut self) {
        for piece in &mut self.pieces {
            piece.fill(self.filler);
        }
    }

    /// The room, in bytes.
    pub fn allocated_bytes(&self) -> usize {
        self.pieces.len() * PIECE * size_of::<T>() + self.pieces.capacity() * size_of::<Box<[T]>>()
    }
}

const fn place(at: u32) -> (usize, usize) {
    (at as usize / PIECE, at as usize % PIECE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_there_and_the_rest_is_filler() {
        let mut list = Chunks::new(7u8);
        assert_eq!((list.get(0), list.allocated_bytes()), (7, 0));
        list.set(2 * 4096, 1);
        assert_eq!(
            (list.get(2 * 4096), list.get(5), list.get(u32::MAX)),
            (1, 7, 7)
        );
        assert!((3 * 4096..3 * 4096 + 200).contains(&list.allocated_bytes()));
        list.clear();
        assert_eq!(list.get(2 * 4096), 7);
    }
}
