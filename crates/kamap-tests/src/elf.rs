//! ELF files that no compiler generates.

/// A 32-bit program like [`TINY`](crate::TINY), made of headers and code only.
#[cfg(target_arch = "x86_64")]
pub fn tiny_of_32_bits() -> Vec<u8> {
    const ADDRESS: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    #[rustfmt::skip]
    const CODE: [u8; 43] = [
        0x6a, b'\n',             //    push '\n'
        0x89, 0xe1,              //    mov  %esp, %ecx
        0xb8, 4, 0, 0, 0,        //    mov  $4, %eax
        0xbb, 1, 0, 0, 0,        //    mov  $1, %ebx
        0xba, 1, 0, 0, 0,        //    mov  $1, %edx
        0xcd, 0x80,              //    int  $0x80           write(1, "\n", 1)
        0xb8, 3, 0, 0, 0,        // 1: mov  $3, %eax
        0x31, 0xdb,              //    xor  %ebx, %ebx
        0x89, 0xe1,              //    mov  %esp, %ecx
        0xcd, 0x80,              //    int  $0x80           read(0, stack, 1)
        0x85, 0xc0,              //    test %eax, %eax
        0x7f, 0xf1,              //    jg   1b
        0xb8, 1, 0, 0, 0,        //    mov  $1, %eax
        0xcd, 0x80,              //    int  $0x80           exit(0)
    ];
    let len = HEADERS + CODE.len() as u32;
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |halves: &[u16]| halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let parts: [Vec<u8>; 5] = [
        // An executable, for the 386.
        halves(&[2, 3]),
        // Version, entry, program headers, no section headers, no flags.
        words(&[1, ADDRESS + HEADERS, 52, 0, 0]),
        // Sizes: this header, one program header, no section headers.
        halves(&[52, 32, 1, 0, 0, 0]),
        // All of the file: readable and executable.
        words(&[1, 0, ADDRESS, ADDRESS, len, len, 5, 0x1000]),
        CODE.to_vec(),
    ];
    elf.extend(parts.concat());
    elf
}

/// An ELF file for this machine whose second segment cannot be mapped: an exec of it fails past the
/// point of no return.
pub fn beyond_memory() -> Vec<u8> {
    const PAGE: u64 = 0x1_0000;
    const ADDRESS: u64 = 0x40_0000;
    const BEYOND: u64 = 0xffff_8000_0000_0000;
    #[cfg(target_arch = "x86_64")]
    const MACHINE: u16 = 62;
    #[cfg(target_arch = "aarch64")]
    const MACHINE: u16 = 183;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let halves = |halves: &[u16]| halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let longs = |longs: &[u64]| longs.iter().flat_map(|long| long.to_le_bytes()).collect();
    let parts: [Vec<u8>; 9] = [
        // An executable.
        halves(&[2, MACHINE]),
        // Version; entry, program headers, no section headers; no flags.
        words(&[1]),
        longs(&[ADDRESS, 64, 0]),
        words(&[0]),
        // Sizes: this header, two program headers, no section headers.
        halves(&[64, 56, 2, 0, 0, 0]),
        // Readable and executable.
        words(&[1, 5]),
        longs(&[0, ADDRESS, ADDRESS, PAGE, PAGE, PAGE]),
        // Readable and writable.
        words(&[1, 6]),
        longs(&[PAGE, BEYOND, 0, PAGE, PAGE, PAGE]),
    ];
    elf.extend(parts.concat());
    elf.resize(2 * PAGE as usize, 0);
    elf
}

/// An ELF file for x86-64 with a segment that holds `text` at `address`, and one that cannot be
/// mapped anywhere: an exec of it fails past the point of no return, with `text` in memory.
///
/// # Panics
///
/// If `text` reaches beyond the page after that of `address`.
#[cfg(target_arch = "x86_64")]
pub fn fails_late(address: u64, text: &[u8]) -> Vec<u8> {
    const PAGE: u64 = 0x1000;
    let words =
        |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let halves =
        |halves: &[u16]| -> Vec<u8> { halves.iter().flat_map(|half| half.to_le_bytes()).collect() };
    let segment = |flags: u64, offset: u64, address: u64, len: u64| {
        words(&[1 | flags << 32, offset, address, 0, len, len, PAGE])
    };
    let page = address & !(PAGE - 1);
    let mut elf = [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        // An executable, for x86-64.
        halves(&[2, 62, 1, 0]),
        words(&[page, 64, 0]),
        halves(&[0, 0, 64, 56, 2, 0, 0, 0]),
        segment(6, PAGE, page, 2 * PAGE),
        // An address that user space does not have.
        segment(6, PAGE, 0xffff_8000_0000_0000, PAGE),
    ]
    .concat();
    elf.resize(4 * PAGE as usize, 0);
    let at = (PAGE + (address - page)) as usize;
    elf[at..at + text.len()].copy_from_slice(text);
    elf
}
