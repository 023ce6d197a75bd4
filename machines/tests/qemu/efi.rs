//! Guests of one EFI program, assembled by hand, on a disk that is one FAT volume: what UEFI firmware boots, unless it wants
//! a signature.

use std::io::{Cursor, Write};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

/// Where the firmware looks on a disk of which it knows nothing.
const PATH: [&str; 3] = ["EFI", "BOOT", "BOOTX64.EFI"];
/// The alignment of everything in the program, in the file and in memory.
const PAGE: u32 = 0x1000;

/// A disk whose program says a text to the serial port, and powers the machine off.
pub(crate) fn disk(text: &str) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; 4 << 20]);
    fatfs::format_volume(&mut disk, FormatVolumeOptions::new()).unwrap();
    {
        let file_system = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
        let [first, second, name] = PATH;
        let folder = file_system.root_dir().create_dir(first).unwrap().create_dir(second).unwrap();
        let mut file = folder.create_file(name).unwrap();
        file.write_all(&program(&code(text))).unwrap();
        file.flush().unwrap();
    }
    disk.into_inner()
}

/// 64-bit code that talks to ports.
fn code(text: &str) -> Vec<u8> {
    let mut code = vec![0x66, 0xba, 0xf8, 0x03]; // mov dx, 0x3f8
    for byte in text.bytes() {
        code.extend([0xb0, byte, 0xee]); // mov al, byte; out dx, al
    }
    code.extend([0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef]); // mov dx, 0x604; mov ax, 0x2000; out dx, ax
    code.extend([0xfa, 0xf4, 0xeb, 0xfd]); // cli; hlt; jmp to hlt
    code
}

/// The code as a program of one section, without a signature.
fn program(code: &[u8]) -> Vec<u8> {
    let size = u32::try_from(code.len()).unwrap();
    let mut file = b"MZ".to_vec();
    file.resize(0x3c, 0);
    file.extend(0x40_u32.to_le_bytes()); // where the header is
    file.extend(b"PE\0\0");
    let mut words = |widths: &[(usize, u64)]| {
        for (width, value) in widths {
            file.extend(&value.to_le_bytes()[..*width]);
        }
    };
    let (page, size) = (u64::from(PAGE), u64::from(size));
    // x86-64, one section, no symbols, an optional header of 240 bytes, executable and not bound to low addresses.
    words(&[(2, 0x8664), (2, 1), (4, 0), (4, 0), (4, 0), (2, 240), (2, 0x22)]);
    // PE32+: code's size, entry, base; image base, alignments, versions, sizes, subsystem of an EFI application.
    words(&[(2, 0x20b), (2, 0), (4, page), (4, 0), (4, 0), (4, page), (4, page)]);
    words(&[(8, 0), (4, page), (4, page), (8, 0), (8, 0), (4, 2 * page), (4, page), (4, 0), (2, 10), (2, 0)]);
    // Stack and heap mean nothing here; 16 directories, all of them empty.
    words(&[(8, 0), (8, 0), (8, 0), (8, 0), (4, 0), (4, 16)]);
    words(&[(8, 0); 16]);
    // .text: where it is in memory and in the file; code that is run and read.
    words(&[(8, u64::from_le_bytes(*b".text\0\0\0")), (4, size), (4, page), (4, page), (4, page)]);
    words(&[(4, 0), (4, 0), (4, 0), (4, 0x6000_0020)]);
    file.resize(PAGE as usize, 0);
    file.extend(code);
    file.resize(2 * PAGE as usize, 0);
    file
}
