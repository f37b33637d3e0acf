//! Numbers of any width in bytes, in the byte order of this machine.

/// The largest width of a number in bits.
pub(super) const WIDEST: usize = 128;

/// The number in `bits` bits (at most [`WIDEST`]), beginning at bit `at`.
pub(super) fn read(bytes: &[u8], at: usize, bits: usize) -> u128 {
    (0..bits).fold(0, |number, i| {
        let (byte, shift) = place(at + i);
        let bit = u128::from(bytes[byte] >> shift & 1);
        number | bit << significance(i, bits)
    })
}

/// Interprets `number` as a signed number of `bits` bits (at least 1).
pub(super) fn sign(number: u128, bits: usize) -> i128 {
    let unused = WIDEST - bits;
    (number << unused).cast_signed() >> unused
}

/// Bytes that are written bit by bit, and which of the bits have been written.
pub(super) struct Composed {
    pub(super) bytes: Vec<u8>,
    /// The bits that have been written.
    written: Vec<u8>,
}

impl Composed {
    pub(super) fn new(size: usize) -> Self {
        Self {
            bytes: vec![0; size],
            written: vec![0; size],
        }
    }

    /// Writes a number of `bits` bits at bit `at`. Returns `false` if one of these bits had been
    /// written before with another value.
    #[must_use]
    pub(super) fn write(&mut self, at: usize, bits: usize, number: u128) -> bool {
        let mut agrees = true;
        for i in 0..bits {
            let (byte, shift) = place(at + i);
            let bit = (number >> significance(i, bits) & 1) as u8;
            if self.written[byte] >> shift & 1 != 0 {
                agrees &= self.bytes[byte] >> shift & 1 == bit;
            }
            self.bytes[byte] |= bit << shift;
            self.written[byte] |= 1 << shift;
        }
        agrees
    }

    /// Marks these bits as written without changing them.
    pub(super) fn mark(&mut self, at: usize, bits: usize) {
        for (byte, shift) in (at..at + bits).map(place) {
            self.written[byte] |= 1 << shift;
        }
    }

    /// Copies the written bits to `other`, which has the same length.
    pub(super) fn apply(&self, other: &mut [u8]) {
        for (other, (byte, written)) in other.iter_mut().zip(self.bytes.iter().zip(&self.written)) {
            *other = *other & !written | byte & written;
        }
    }
}

/// The byte of a bit, and its position in that byte.
fn place(bit: usize) -> (usize, usize) {
    let shift = bit % 8;
    if cfg!(target_endian = "little") {
        (bit / 8, shift)
    } else {
        (bit / 8, 7 - shift)
    }
}

/// The position in the number of bit `i` of `bits`.
fn significance(i: usize, bits: usize) -> usize {
    if cfg!(target_endian = "little") {
        i
    } else {
        bits - 1 - i
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_are_those_of_the_machine() {
        let bytes = 0x0123_4567_89ab_cdef_u64.to_ne_bytes();
        assert_eq!(read(&bytes, 0, 64), 0x0123_4567_89ab_cdef);
        let halves = [0x0102_u16.to_ne_bytes(), 0x0304_u16.to_ne_bytes()].concat();
        assert_eq!(read(&halves, 16, 16), 0x0304);
        let mut composed = Composed::new(8);
        assert!(composed.write(0, 64, 0x0123_4567_89ab_cdef));
        assert_eq!(composed.bytes, bytes);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn bitfields_begin_with_the_lowest_bit() {
        assert_eq!(read(&[0b1010_0110, 0b0000_0001], 5, 4), 0b1101);
    }

    #[test]
    fn signs_are_those_of_the_width() {
        assert_eq!(sign(0b111, 3), -1);
        assert_eq!(sign(0b011, 3), 3);
        assert_eq!(sign(0x80, 8), -128);
        assert_eq!(sign(u128::MAX, 128), -1);
    }

    #[test]
    fn what_is_written_twice_has_to_be_the_same() {
        let mut composed = Composed::new(2);
        assert!(composed.write(3, 6, 0b10_1010));
        assert!(composed.write(3, 6, 0b10_1010));
        assert!(!composed.write(3, 6, 0b10_1011));
        assert!(composed.write(9, 3, 0b101));
    }

    #[test]
    fn only_what_has_been_written_is_applied() {
        let mut composed = Composed::new(3);
        assert!(composed.write(8, 4, 0));
        composed.mark(12, 4);
        composed.mark(16, 8);
        let mut other = [0xff; 3];
        composed.apply(&mut other);
        assert_eq!(other, [0xff, 0, 0]);
        assert!(!composed.write(12, 1, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            // Miri is several hundred times slower.
            cases: if cfg!(miri) { 8 } else { 256 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn what_is_written_is_read(at in 0..100_usize, bits in 1..=128_usize, number: u128) {
            let number = number >> (WIDEST - bits);
            let mut composed = Composed::new(32);
            prop_assert!(composed.write(at, bits, number));
            prop_assert_eq!(read(&composed.bytes, at, bits), number);
            let others: u32 = composed.bytes.iter().map(|byte| byte.count_ones()).sum();
            prop_assert_eq!(others, number.count_ones());
        }
    }
}
