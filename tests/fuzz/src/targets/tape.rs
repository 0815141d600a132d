//! Reads the fuzzer's bytes as choices. After the last byte, every choice is the first option.

pub(super) struct Tape<'i>(&'i [u8]);

impl<'i> Tape<'i> {
    pub(super) fn new(input: &'i [u8]) -> Self {
        Self(input)
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `count`, or 0 if `count` is 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let number = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        number.checked_rem(count).unwrap_or(0)
    }

    /// An index into a short list.
    pub(super) fn pick(&mut self, count: usize) -> usize {
        usize::from(self.byte()).checked_rem(count).unwrap_or(0)
    }

    /// The next byte gives a length. Returns this many of the following bytes.
    pub(super) fn bytes(&mut self) -> &'i [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}
