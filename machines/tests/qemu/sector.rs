//! Guests of one boot sector, assembled by hand: real-mode x86 that talks to ports.

use std::path::Path;

/// Machine code that is being written.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sector(Vec<u8>);

impl Sector {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Writes text to the first serial port.
    pub(crate) fn say(mut self, text: &str) -> Self {
        self.0.extend([0xba, 0xf8, 0x03]); // mov dx, 0x3f8
        for byte in text.bytes() {
            self.0.extend([0xb0, byte, 0xee]); // mov al, byte; out dx, al
        }
        self
    }

    /// `out port, byte`.
    pub(crate) fn out(mut self, port: u16, byte: u8) -> Self {
        let [low, high] = port.to_le_bytes();
        self.0.extend([0xba, low, high, 0xb0, byte, 0xee]);
        self
    }

    /// `out port, word`.
    pub(crate) fn out_word(mut self, port: u16, word: u16) -> Self {
        let ([low, high], [word_low, word_high]) = (port.to_le_bytes(), word.to_le_bytes());
        self.0.extend([0xba, low, high, 0xb8, word_low, word_high, 0xef]);
        self
    }

    /// Goes to ACPI's S5, as the firmware has configured it.
    pub(crate) fn power_off(self) -> Self {
        self.out_word(0x604, 0x2000).halt()
    }

    /// Resets by the chipset's reset control.
    pub(crate) fn reset(self) -> Self {
        self.out(0xcf9, 6).halt()
    }

    /// Says to the pvpanic device what a Linux kernel says when it panics.
    pub(crate) fn panic(self) -> Self {
        self.out(0x505, 1).halt()
    }

    /// Powers off when the power button is pressed.
    pub(crate) fn obey_power_button(self) -> Self {
        self.wait_for_power_button().power_off()
    }

    /// Goes on when the power button is pressed.
    pub(crate) fn wait_for_power_button(mut self) -> Self {
        self = self.out_word(0x602, 0x100); // enable the button's event
        self.0.extend([0xba, 0x00, 0x06]); // mov dx, 0x600
        self.0.extend([0xed, 0xa9, 0x00, 0x01, 0x74, 0xfa]); // again: in ax, dx; test ax, 0x100; jz again
        self
    }

    /// Writes to the serial port without end.
    pub(crate) fn flood(mut self) -> Self {
        self.0.extend([0xba, 0xf8, 0x03, 0xb0, b'x', 0xee, 0xeb, 0xfd]);
        self
    }

    /// Writes a letter into the disk's second sector, by the BIOS.
    pub(crate) fn write_to_disk(mut self) -> Self {
        // mov ax, 0x0301; mov cx, 2; xor bx, bx; mov es, bx; mov bx, 0x7c00; mov dx, 0x0080; int 0x13
        let code = [
            0xb8, 0x01, 0x03, 0xb9, 0x02, 0x00, 0x31, 0xdb, 0x8e, 0xc3, 0xbb, 0x00, 0x7c, 0xba, 0x80, 0x00,
            0xcd, 0x13,
        ];
        self.0.extend(code);
        self
    }

    /// Writes `T` to the serial port where the BIOS knows of a TPM that works, else `F`.
    pub(crate) fn say_tpm(mut self) -> Self {
        self.0.extend([0xb8, 0x00, 0xbb, 0xcd, 0x1a]); // mov ax, 0xbb00; int 0x1a
        self.0.extend([0x66, 0x85, 0xc0, 0xb0, b'F', 0x75, 0x02, 0xb0, b'T']); // test eax, eax; al = F; if zero: al = T
        self.0.extend([0xba, 0xf8, 0x03, 0xee]); // mov dx, 0x3f8; out dx, al
        self
    }

    /// Stays forever.
    pub(crate) fn halt(mut self) -> Self {
        self.0.extend([0xfa, 0xf4, 0xeb, 0xfd]); // cli; hlt; jmp to hlt
        self
    }

    /// The bytes of a disk of 1 MiB that boots it.
    pub(crate) fn disk(&self) -> Vec<u8> {
        let mut disk = self.0.clone();
        assert!(disk.len() <= 446, "the code does not fit into a boot sector");
        disk.resize(510, 0);
        disk.extend([0x55, 0xaa]);
        disk.resize(1 << 20, 0);
        disk
    }

    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.disk()).unwrap();
    }
}
